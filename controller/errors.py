"""The single error tree. Each class has an `exit_code` for the shell, and a `remedy` that says whether waiting helps.

    MoorageError
    ├── SpecError             a spec is invalid; has every Problem found
    ├── UsageError            the command line is wrong
    ├── CredentialsError      AWS doesn't accept the credentials
    ├── NotFoundError         the named object doesn't exist
    ├── LeaseHeldError        another controller is working on this environment
    │   └── LeaseLostError    the lease was ours, and isn't any more
    ├── DeadlineError         the timeout expired; AWS continues
    ├── StoppedError          a gate, an approval or a policy holds it
    │   └── NotPlannedError       the saved plan doesn't contain it
    ├── SourceError           the source of specs can't be reached or read
    ├── StoreError            the store can't be read or written
    ├── DataError             the training data can't be used
    ├── BundleError           the artifact or bundle can't be trusted
    ├── FailedError           a resource failed and stays failed until the spec changes
    │   ├── ForeignError      it exists and belongs to others
    │   └── RolledBackError   AWS rolled the deployment back
    └── AwsError              AWS's answer, one class for each remedy
        ├── ThrottledError        slow down, then continue
        ├── UnavailableError      5xx or no connection, and the call was not executed or was a read
        ├── AnswerLostError       a write with an unknown outcome: observe first
        ├── NotReadyError         a dependency isn't ready yet (a new IAM role, a draining service)
        ├── MissingError          the object doesn't exist
        ├── ConflictError         it exists already, or is in use
        ├── DeniedError           a permission is missing
        ├── QuotaError            a hard limit
        └── RejectedError         the request itself is wrong

`controller.aws.errors` maps botocore's answers onto the lower part, in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class Remedy(Enum):
    """What makes an error go away."""

    SOON = "retry soon"
    DEPENDENCY = "wait for a dependency"
    SPEC = "change the spec"
    HUMAN = "needs a human"


class MoorageError(Exception):
    """The root of the tree: what happened, where, why and what to do next.

    `what` is one sentence; `where` a spec position, a resource or an API call; `why` the cause in the other side's
    words; `hint` the next step for a person. None of them may contain a secret.
    """

    exit_code: ClassVar[int] = 1
    remedy: ClassVar[Remedy] = Remedy.HUMAN

    def __init__(self, what: str, *, where: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.why, self.hint = what, where, why, hint

    def __str__(self) -> str:
        """Return `where: what: why (hint)` without the empty parts."""
        text = ": ".join(part for part in (self.where, self.what, self.why) if part)
        return f"{text} ({self.hint})" if self.hint else text


@dataclass(frozen=True)
class Problem:
    """One problem in one file. `line` and `column` count from 1; `width` is the number of characters to underline."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""
    source: str = ""
    width: int = 1

    def __str__(self) -> str:
        """Return the problem as compilers show it: position, message, the line itself, a caret, a hint."""
        text = f"{self.file}:{self.line}:{self.column}: error: {self.message}"
        if self.source:
            margin = f" {self.line} |"
            caret = " " * (self.column - 1) + "^" * max(1, self.width)
            text += f"\n{margin} {self.source}\n{' ' * (len(margin) - 1)}| {caret}"
        if self.hint:
            text += f"  {self.hint}" if self.source else f" ({self.hint})"
        return text


class SpecError(MoorageError):
    """Specs that can't be used; `problems` has all of them, over all files, in reading order."""

    exit_code = 2
    remedy = Remedy.SPEC

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class UsageError(MoorageError):
    """The command line asks for something impossible."""

    exit_code = 2
    remedy = Remedy.HUMAN


class CredentialsError(MoorageError):
    """No credentials, expired ones, or those of another account."""

    exit_code = 3


class NotFoundError(MoorageError):
    """The object that the user named doesn't exist."""

    exit_code = 6


class LeaseHeldError(MoorageError):
    """Another controller holds the environment's lease.

    `retry_after` (seconds) is set while that controller may be dead: another attempt finds out. None means that it is
    alive.
    """

    exit_code = 8
    remedy = Remedy.SOON

    def __init__(
        self, what: str, *, where: str = "", why: str = "", hint: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(what, where=where, why=why, hint=hint)
        self.retry_after = retry_after


class LeaseLostError(LeaseHeldError):
    """The lease isn't ours any more, or can't be shown to be: nothing more may be changed."""


class DeadlineError(MoorageError):
    """The timeout expired. AWS continues what was started; another run resumes."""

    exit_code = 9
    remedy = Remedy.SOON


class StoppedError(MoorageError):
    """A gate, an approval or a policy stopped it."""

    exit_code = 5
    remedy = Remedy.HUMAN


class NotPlannedError(StoppedError):
    """The run would do something that the saved plan doesn't contain: specs, data or AWS have changed."""


class SourceError(MoorageError):
    """The source of specs can't be reached, or its content can't be trusted."""

    exit_code = 2
    remedy = Remedy.SOON


class StoreError(MoorageError):
    """The store's file or bucket can't be read or written."""


class DataError(MoorageError):
    """The training data can't be used: missing, no target column, or text in a feature.

    `field` names the field under `spec.data` at fault (`source`, `target`, `features` or `split`), so that the caller
    can point at it; `line` (from 1; 0 for none) and `column` (a name) are the place in the file.
    """

    exit_code = 2
    remedy = Remedy.SPEC

    def __init__(
        self,
        what: str,
        *,
        field: str = "source",
        line: int = 0,
        column: str = "",
        where: str = "",
        why: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(what, where=where, why=why, hint=hint)
        self.field, self.line, self.column = field, line, column


class BundleError(MoorageError):
    """An artifact, a model or a bundle that can't be read or trusted."""

    exit_code = 4
    remedy = Remedy.SPEC


class FailedError(MoorageError):
    """A resource failed, and stays failed until its spec changes."""

    exit_code = 4
    remedy = Remedy.SPEC


class ForeignError(FailedError):
    """The resource exists and belongs to others."""

    remedy = Remedy.HUMAN


class RolledBackError(FailedError):
    """AWS has deployed this task definition before, and rolled it back when it failed."""


class AwsError(MoorageError):
    """AWS's answer. `where` is the call (`ecs.create_service`), `code` AWS's own error code."""

    exit_code = 4

    def __init__(self, what: str, *, where: str = "", why: str = "", hint: str = "", code: str = "") -> None:
        super().__init__(what, where=where, why=why, hint=hint)
        self.code = code


class ThrottledError(AwsError):
    """AWS, or our own rate limiter, asks to slow down. Nothing was done; try again after `retry_after` seconds."""

    remedy = Remedy.SOON

    def __init__(
        self, what: str, *, where: str = "", why: str = "", hint: str = "", code: str = "", retry_after: float = 5.0
    ) -> None:
        super().__init__(what, where=where, why=why, hint=hint, code=code)
        self.retry_after = retry_after


class UnavailableError(AwsError):
    """A 5xx response to a read, or no connection at all. Nothing was done."""

    remedy = Remedy.SOON


class AnswerLostError(AwsError):
    """A write was sent and its response was lost: it may or may not have been executed. Observe, then decide."""

    remedy = Remedy.SOON


class NotReadyError(AwsError):
    """A dependency isn't ready yet: a role that IAM still propagates, a service that still drains."""

    remedy = Remedy.DEPENDENCY


class MissingError(AwsError):
    """The object doesn't exist."""

    remedy = Remedy.DEPENDENCY


class ConflictError(AwsError):
    """The object exists already, or something still uses it."""

    remedy = Remedy.DEPENDENCY


class DeniedError(AwsError):
    """The caller lacks a permission."""

    remedy = Remedy.HUMAN


class QuotaError(AwsError):
    """A hard limit of the account was reached."""

    remedy = Remedy.HUMAN


class RejectedError(AwsError):
    """AWS refuses the request itself; sending it again changes nothing."""

    remedy = Remedy.SPEC
