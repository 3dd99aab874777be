"""Turn exceptions into a message on stderr and an exit code. Tracebacks appear only if MOORAGE_DEBUG is set."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from controller.cli.output import github_actions
from controller.errors import MoorageError

EXIT_INTERRUPTED = 130
EXIT_UNEXPECTED = 1


def run_guarded(command: Callable[[], int], code_of: Callable[[int], int] = int) -> int:
    """Run a command; turn its exceptions into a message on stderr and an exit code, which `code_of` maps."""
    try:
        code = command()
        sys.stdout.flush()
    except MoorageError as error:
        github_actions.annotate(error)
        return code_of(_exit_with(str(error), error.exit_code))
    except KeyboardInterrupt:
        return _exit_with(
            "interrupted; work that AWS has started continues, and the next run resumes", EXIT_INTERRUPTED
        )
    except BrokenPipeError:
        # The reader of the pipe has closed it; the interpreter must not try to flush stdout again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  (without it, the user would see a traceback)
        hint = "this is a bug in Moorage; MOORAGE_DEBUG=1 shows the traceback"
        message = f"unexpected {type(error).__name__}: {error} ({hint})"
        return code_of(_exit_with(message, EXIT_UNEXPECTED))
    return code


def _exit_with(message: str, code: int) -> int:
    if os.environ.get("MOORAGE_DEBUG"):
        import traceback

        traceback.print_exc()
    from controller.aws.log import redact_text

    text = redact_text(message)
    # A Problem begins with its file and line, as in a compiler's output.
    print(text if ": error: " in text.split("\n", 1)[0] else f"error: {text}", file=sys.stderr)
    return code
