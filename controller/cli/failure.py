"""From what was raised to what a person reads and a shell sees. Never a traceback, unless MOORAGE_DEBUG is set."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from controller.cli.output import github_actions
from controller.errors import MoorageError

EXIT_INTERRUPTED = 130
EXIT_UNEXPECTED = 1


def run_guarded(command: Callable[[], int], code_of: Callable[[int], int] = int) -> int:
    """Run a command; turn what it raises into a message on stderr and an exit code, which `code_of` may change."""
    try:
        code = command()
        sys.stdout.flush()
    except MoorageError as error:
        github_actions.annotate(error)
        return code_of(_exit_with(str(error), error.exit_code))
    except KeyboardInterrupt:
        return _exit_with("interrupted; what was started goes on, and the next run resumes", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Who reads our output has seen enough; the interpreter must not try to flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  (the last resort of a program that shows no tracebacks)
        message = f"unexpected {type(error).__name__}: {error} (this is a defect; MOORAGE_DEBUG=1 shows where)"
        return code_of(_exit_with(message, EXIT_UNEXPECTED))
    return code


def _exit_with(message: str, code: int) -> int:
    if os.environ.get("MOORAGE_DEBUG"):
        import traceback

        traceback.print_exc()
    from controller.aws.log import redact_text

    text = redact_text(message)
    # Problems in files begin with their own place, as compilers have it.
    print(text if ": error: " in text.split("\n", 1)[0] else f"error: {text}", file=sys.stderr)
    return code
