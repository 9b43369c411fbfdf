"""What `run` and `listen` share: how the very first start is meant."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from fusion.settings import Settings, load

Start = Annotated[
    Literal["retained", "now"] | None,
    typer.Option(
        "--from",
        help="The first start of all: with every record that is ready and every event that Salesforce still keeps "
        "(retained), or with what changes from now on (now). Later it says nothing. Default: FUSION_SYNC_START.",
    ),
]


def settings_from(start: Literal["retained", "now"] | None, *, salesforce: bool, portal: bool = False) -> Settings:
    """The settings, with that start in place of FUSION_SYNC_START; raises `SetupError`."""
    settings = load(salesforce=salesforce, portal=portal)
    if start is not None:
        settings.sync = settings.sync.model_copy(update={"start": start})
    return settings
