"""The states of the USA, DC and the territories, as USPS Publication 28, Appendix B has them. Data."""

from __future__ import annotations

_NAMES = """
AL Alabama|AK Alaska|AZ Arizona|AR Arkansas|CA California|CO Colorado|CT Connecticut|DE Delaware
DC District of Columbia|FL Florida|GA Georgia|HI Hawaii|ID Idaho|IL Illinois|IN Indiana|IA Iowa|KS Kansas
KY Kentucky|LA Louisiana|ME Maine|MD Maryland|MA Massachusetts|MI Michigan|MN Minnesota|MS Mississippi|MO Missouri
MT Montana|NE Nebraska|NV Nevada|NH New Hampshire|NJ New Jersey|NM New Mexico|NY New York|NC North Carolina
ND North Dakota|OH Ohio|OK Oklahoma|OR Oregon|PA Pennsylvania|RI Rhode Island|SC South Carolina|SD South Dakota
TN Tennessee|TX Texas|UT Utah|VT Vermont|VA Virginia|WA Washington|WV West Virginia|WI Wisconsin|WY Wyoming
AS American Samoa|GU Guam|MP Northern Mariana Islands|PR Puerto Rico|VI Virgin Islands|VI US Virgin Islands
DC Washington DC
"""
_PAIRS = [entry.split(" ", 1) for entry in _NAMES.strip().replace("\n", "|").split("|")]
_CODES = {code.casefold(): code for code, _ in _PAIRS} | {name.casefold(): code for code, name in _PAIRS}


def state_code(given: str) -> str | None:
    """Two letters for a code or a name, without regard to case, dots and commas; None if it is neither."""
    return _CODES.get(" ".join(given.replace(".", "").replace(",", " ").casefold().split()))
