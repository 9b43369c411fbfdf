"""What must be there before a real CometD server can be."""

from pathlib import Path

import pytest

from tests.node import packages


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder with the packages of node."""
    return packages("the stream is NOT checked against a real CometD server, nor by clients of others")
