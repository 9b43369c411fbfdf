"""What every test may rely on: no setting of this machine reaches a test."""

import os

import pytest

from fusion.settings import PARTS

_PREFIXES = tuple(str(part.model_config.get("env_prefix")) for part in PARTS)


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without any setting of ours; a test says what it wants."""
    for name in list(os.environ):
        if name.upper().startswith(_PREFIXES):
            monkeypatch.delenv(name)
