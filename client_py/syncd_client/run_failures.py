"""How a run fails: what a handler raises, and what is raised in one. Knows nothing of runs themselves."""

import asyncio

from syncd.core.errors import SyncdError

CODE_CHARS_MAX = 200
MESSAGE_CHARS_MAX = 2_000


class LeaseLost(SyncdError):
    """This process has the run no more: another worker took it over, or it was ended. Stop; nothing more is written."""


class RunFailed(SyncdError):
    """Raise it from a handler to end the run as failed with this code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def failure_of(error: BaseException) -> tuple[str, str]:
    """Return code and message of a run whose handler raised `error`. Both can be written, whatever that is like."""
    name = type(error).__name__
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            return "abandoned", "the worker stopped before the run was over"
        return name, "the handler awaited something that was cancelled"
    if isinstance(error, SystemExit):
        return name, "the handler ended the program"
    try:
        code = getattr(error, "code", None)
        return said(code if isinstance(code, str) and code else name, CODE_CHARS_MAX), said(str(error) or name)
    except Exception:  # noqa: BLE001 - it is the app's own code that says what it is, and that may fail too
        return said(name, CODE_CHARS_MAX), "the error does not say what it is"


def said(text: str, chars_max: int = MESSAGE_CHARS_MAX) -> str:
    """Return `text` as it can be written: no longer than that, without halves of surrogate pairs."""
    return text.encode(errors="replace").decode()[:chars_max]
