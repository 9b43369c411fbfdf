"""Whose chart it was when we last saw it, without keeping who that is."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from fusion.identity import digest_of, is_of
from fusion.patient import Identity

MIA = Identity(first_name="Mia", last_name="Sample", birth_date=date(2019, 3, 4))


async def test_a_digest_knows_its_own() -> None:
    assert await is_of(MIA, await digest_of(MIA))


@pytest.mark.parametrize(
    "other",
    [
        {"first_name": "Lena"},
        {"last_name": "Simple"},
        {"birth_date": date(2019, 4, 3)},
        {"birth_date": None},
        {"first_name": "Mia Sample", "last_name": ""},
        {"first_name": "Mía"},
    ],
)
async def test_a_digest_knows_nobody_else(other: dict[str, Any]) -> None:
    assert not await is_of(replace(MIA, **other), await digest_of(MIA))


@pytest.mark.parametrize("same", [{"first_name": "MIA"}, {"last_name": "  sample "}])
async def test_case_and_spacing_do_not_matter(same: dict[str, Any]) -> None:
    assert await is_of(replace(MIA, **same), await digest_of(MIA))


async def test_two_digests_of_one_child_have_nothing_in_common() -> None:
    one, other = [(await digest_of(MIA)).split("$") for _ in range(2)]
    assert one[0] != other[0]
    assert one[1] != other[1]


async def test_a_digest_shows_nothing() -> None:
    digest = await digest_of(MIA)
    assert len(digest) == 32 + 1 + 128
    assert set(digest) <= set("0123456789abcdef$")
