"""Events: what a session's story tells those who are not looking, one for each fact that the server wrote down."""

from collections.abc import Mapping
from hashlib import blake2b

from syncd.core.messages import Json
from syncd.core.record import record


@record
class Event:
    """One thing that happened in a session."""

    key: str
    type: str
    at_ms: int
    by: str
    body: Mapping[str, Json]


@record
class StoredEvent:
    """One event as read back from a log."""

    row: int
    session: str
    incarnation: str
    event: Event

    @property
    def id(self) -> str:
        """The id by which the world knows it."""
        return event_id(self.incarnation, self.event.key)


def event_id(incarnation: str, key: str) -> str:
    """Return the id by which the world knows an event: the same whoever derives it, however often."""
    return "evt_" + blake2b(f"{incarnation}\n{key}".encode(), digest_size=16).hexdigest()
