"""The way in, as a pack describes it: log-in, code, expired password, lock, and whatever else may keep us out."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fusion.pages.spot import Data, Pattern, Spots
from fusion.pages.standing import Standing


class Step(Data):
    """One step of the log-in: fill a box with one of our credentials, or click."""

    fill: Spots | None = None
    with_: Literal["username", "password"] | None = Field(default=None, alias="with")
    click: Spots | None = None

    @model_validator(mode="after")
    def _one_deed(self) -> Self:
        if (self.fill is None) == (self.click is None) or (self.fill is None) != (self.with_ is None):
            raise ValueError("a step is either fill and with, or click")
        return self


class Stop(Data):
    """Something that keeps us out, and how one sees it. `says` and `hint`: where the usual words would mislead."""

    state: Standing
    sign: Spots
    says: str | None = None
    hint: str | None = None


class CodePage(Data):
    """The page that asks for a log-in code. `alert`: where it answers, in whatever words; `minutes`: a code's life."""

    sign: Spots
    box: Spots
    submit: Spots
    alert: Spots
    resend: Spots | None = None
    minutes: float = 10


class Login(Data):
    """The log-in page, which may come up at any time. `alert`: where it answers, in whatever words."""

    sign: Spots
    alert: Spots
    steps: tuple[Step, ...]
    stops: tuple[Stop, ...]
    code: CodePage | None = None


class Password(Data):
    """How the user changes the password; each `rule` is a regular expression that a new one must match somewhere.

    `days`: how long one is good, None if for ever. `old` is left out where the page does not ask for it, as when the
    password has expired. `wrong`: it does not accept the old one; `changed`: the portal's evidence.
    """

    days: int | None = None
    route: str
    old: Spots
    new: Spots
    again: Spots
    save: Spots
    alert: Spots
    wrong: Spots
    changed: Spots
    rules: tuple[Pattern, ...] = ()


class Lock(Data):
    """The locked screen over the page. `alert`: where it answers, in whatever words."""

    sign: Spots
    alert: Spots
    password: Spots
    submit: Spots
    stops: tuple[Stop, ...]
