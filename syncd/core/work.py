"""WorkRow: a run that is not over, as a server finds it again without reading its session; and how it may be claimed.

Plain data. Knows nothing of who decides about runs.
"""

from typing import Final

from syncd.core.record import record

#: What becomes of a run whose worker is lost, and the most attempts that a claim may ask for: PROTOCOL 3, Claim.
POLICIES: Final = ("wait", "retry", "fail")
ATTEMPTS_MAX: Final = 100


@record
class WorkRow:
    """One run of one session. `lease` is the run's last one, `ended` for one to forget; it is so since `at_ms`.

    `message` is empty for a run without one. `worker` is who holds a `live` or `suspended` one, else empty.
    It is ended, or taken up again, at `due_at` (Unix ms), 0 for never.
    """

    agent: str
    session: str
    run: str
    message: str
    lease: str
    attempt: int
    at_ms: int
    worker: str = ""
    due_at: int = 0
