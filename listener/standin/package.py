"""The metadata package that an org of ours is made of: the repository's `sfdx/`, or the copy in an installed wheel."""

from functools import lru_cache
from pathlib import Path

from listener.standin.metadata.archive import pack

CHECKOUT = Path(__file__).parents[2] / "sfdx"
INSTALLED = Path(__file__).parent / "sfdx"  # put there by the wheel's build, see pyproject.toml


@lru_cache
def shipped() -> bytes:
    """The package as a zip to deploy: object, access, channel, flows, screens; not the External Client App, which
    stands for itself here (`people`)."""
    return pack(INSTALLED if INSTALLED.is_dir() else CHECKOUT, "force-app")
