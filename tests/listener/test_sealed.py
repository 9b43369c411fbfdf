"""What is sealed opens with its key and no other, keys can be changed, and a wrong one says so without a secret."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from listener.errors import SetupError
from listener.sealed import Sealed

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_a_new_key_goes_in_front_and_the_old_one_still_opens() -> None:
    before = Sealed([OLD]).seal(b"canary")
    both = Sealed([NEW, OLD])
    assert both.open(before) == b"canary"
    assert Sealed([NEW]).open(both.seal(b"canary")) == b"canary"


def test_the_same_secret_looks_different_each_time() -> None:
    sealed = Sealed([NEW])
    one, other = sealed.seal(b"canary"), sealed.seal(b"canary")
    assert one != other
    assert b"canary" not in one


@pytest.mark.parametrize("change", [lambda sealed: sealed[:-2] + b"x=", lambda sealed: b"", lambda sealed: b"\xff\x00"])
def test_what_was_changed_does_not_open(change: object) -> None:
    sealed = Sealed([NEW])
    assert callable(change)
    with pytest.raises(SetupError, match="FUSION_SYNC_KEY"):
        sealed.open(change(sealed.seal(b"canary")))


@pytest.mark.parametrize(
    ("keys", "says"),
    [([], "is not set"), (["canary"], "not a key"), ([NEW, "canary-ä"], "not a key"), ([""], "not a key")],
)
def test_a_key_that_is_none_is_refused_with_how_to_make_one(keys: list[str], says: str) -> None:
    with pytest.raises(SetupError, match=says) as caught:
        Sealed(keys)
    assert "generate_key" in caught.value.hint
    assert "canary" not in f"{caught.value!r} {caught.value.hint}"


def test_no_key_shows_in_a_repr() -> None:
    assert NEW not in repr(Sealed([NEW]))
