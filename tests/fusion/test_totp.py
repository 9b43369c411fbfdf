"""Codes of an authenticator app are those of the RFC."""

from datetime import UTC, datetime

import pytest

from fusion.totp import code_at, totp_of

RFC = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


@pytest.mark.parametrize(("moment", "code"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")])
def test_the_codes_of_the_rfc(moment: int, code: str) -> None:
    """RFC 6238, appendix B, the last six of its eight digits."""
    assert code_at(RFC, datetime.fromtimestamp(moment, UTC)) == code


def test_a_secret_may_be_written_as_a_portal_shows_it() -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    assert code_at("gezd gnbv gy3t qojq", now) == code_at("GEZDGNBVGY3TQOJQ", now)


@pytest.mark.parametrize("secret", ["", "1890", "GEZDGNB!"])
def test_what_is_no_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match=r"base32|empty"):
        totp_of(secret)
