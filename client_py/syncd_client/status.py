"""Where a client and its sessions stand: the words that apps and screens show.

Plain values; knows nothing of how they come about.
"""

from dataclasses import dataclass
from enum import StrEnum


class Link(StrEnum):
    """The connection, in four words.

    `reconnecting`: it was there a moment ago. `offline`: the last attempt failed; attempts go on. `refused`: the
    server does not want this client as it is; attempts stop until something changed.
    """

    LIVE = "live"
    RECONNECTING = "reconnecting"
    OFFLINE = "offline"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Status:
    """The connection, or one session's place on it. `code` (a close code) and `reason` say why it is not live."""

    link: Link
    code: int = 0
    reason: str = ""
    storage_full: bool = False

    @property
    def live(self) -> bool:
        """Whether what others write arrives as it happens."""
        return self.link is Link.LIVE

    def __str__(self) -> str:
        return f"{self.link}: {self.reason}" if self.reason else str(self.link)
