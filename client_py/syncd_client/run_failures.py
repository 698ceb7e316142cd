"""How a run fails: what a handler raises, and what is raised in one. Knows nothing of runs themselves."""

from syncd.core.errors import SyncdError


class LeaseLost(SyncdError):
    """This process has the run no more: another worker took it over, or it was ended. Stop; nothing more is written."""


class RunFailed(SyncdError):
    """Raise it from a handler to end the run as failed with this code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
