"""Errors of starting and configuring the embedded AWS. The program that starts it maps them onto its own.

EmbeddedAwsError
├── MissingDependencyError   moto isn't installed
├── SettingError             a setting has a value that can't be used on this machine
├── StartFailedError         the program ended before it answered
└── StartTimeoutError        the program didn't answer in time
"""

from __future__ import annotations


class EmbeddedAwsError(Exception):
    """Root of the tree: what happened, where, why and what to do next; `where`, `why` and `hint` may be empty."""

    def __init__(self, what: str, *, where: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.why, self.hint = what, where, why, hint

    def __str__(self) -> str:
        """Render as `where: what: why (hint)`, leaving out what is empty."""
        text = ": ".join(part for part in (self.where, self.what, self.why) if part)
        return f"{text} ({self.hint})" if self.hint else text


class MissingDependencyError(EmbeddedAwsError):
    """A package that the embedded AWS needs isn't installed."""


class SettingError(EmbeddedAwsError):
    """An environment variable or a control call names a value that can't be used on this machine."""


class StartFailedError(EmbeddedAwsError):
    """The program ended before it answered."""


class StartTimeoutError(EmbeddedAwsError):
    """The program didn't answer in time; it may still be starting."""
