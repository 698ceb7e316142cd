"""WorkRow: a run that is not over, as a server finds it again without reading its session."""

from syncd.core.record import record


@record
class WorkRow:
    """One run of one session. `lease` is the run's last one, `ended` for one to forget; it waits since `at_ms`."""

    agent: str
    session: str
    run: str
    message: str
    lease: str
    attempt: int
    at_ms: int
