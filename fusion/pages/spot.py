"""A spot: how a pack says where one thing on a page is, in the words of a person who looks for it."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fusion.pages.roles import ROLES


class Data(BaseModel):
    """A part of a pack: never changed, and with nothing in it that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Spot(Data):
    """How to find one thing on the page. `text` alone finds by words; beside `role` or `css` it narrows down.

    `row`: the field in a table's row that begins with these words, where no label belongs to the field itself.
    """

    role: str | None = None
    name: str | None = None
    label: str | None = None
    row: str | None = None
    css: str | None = None
    text: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [way for way in (self.role, self.label, self.row, self.css) if way is not None]
        if len(ways) > 1 or not (ways or self.text):
            raise ValueError("a spot is found by one of role, label, row, css or text")
        if self.name is not None and self.role is None:
            raise ValueError("name goes with role")
        if self.role is not None and self.role not in ROLES:
            raise ValueError(f"{self.role} is no role")
        return self

    @property
    def says(self) -> str:
        """The thing as a message names it."""
        return f'"{self.name or self.label or self.row or self.text or self.css or self.role}"'


def _compiled(pattern: str) -> str:
    try:
        re.compile(pattern.replace("{id}", "1"))
    except re.error as bad:
        raise ValueError(f"not a regular expression: {bad}") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_compiled)]
"""A regular expression; where it is about one chart, {id} stands for the chart's."""


def _as_many(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


Spots = Annotated[tuple[Spot, ...], BeforeValidator(_as_many), Field(min_length=1)]
"""One spot, or several of which any will do."""
