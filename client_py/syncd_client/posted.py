"""Posted: an own message, as `Session.post` returns it. Knows nothing of how it is stored or sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.core.transcript import MessageView

if TYPE_CHECKING:
    from syncd_client.session import Session


@dataclass(frozen=True, slots=True)
class Message:
    """An own message that was posted: on this disk already."""

    session: Session
    id: str
    _ticket: int

    async def synced(self) -> None:
        """Return when it is on the server's disk.

        Raises:
            NotSynced: the server refused it for good.
        """
        await self.session.wait_synced(self._ticket)

    @property
    def view(self) -> MessageView:
        """The message as it stands now."""
        found = self.session.message(self.id)
        if found is None:
            raise LookupError(self.id)
        return found
