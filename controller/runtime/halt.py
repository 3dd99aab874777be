"""How work in threads is ended: it is asked to, and says yes at the next place where nothing is half done."""

from __future__ import annotations

import threading

from controller.aws.calls import AwsCall, Hook


class HaltedError(BaseException):
    """Nothing more is to be begun. No error of the tree: no handler of errors may take it for an outcome and go on."""


class Halt(Hook):
    """First between steps, so that a step under way is journaled; once `hurry` was called, between any two calls to AWS."""

    def __init__(self) -> None:
        self._asked, self._hurried = threading.Event(), threading.Event()

    def ask(self) -> None:
        """Let no further step begin."""
        self._asked.set()

    def hurry(self) -> None:
        """Let no further call begin either. What a step then leaves undone, the next run finds in the journal."""
        self._asked.set()
        self._hurried.set()

    @property
    def asked(self) -> bool:
        """Whether the end has begun."""
        return self._asked.is_set()

    def check(self) -> None:
        """Raises HaltedError once asked; called between steps."""
        if self._asked.is_set():
            raise HaltedError

    def before(self, call: AwsCall) -> None:
        """Raises HaltedError in the place of a call once hurried."""
        if self._hurried.is_set():
            raise HaltedError(call.name)
