"""Presence: who is on a session now, and what this peer shows of itself.

Never stored; the server stamps who is who. Knows nothing of the network.
"""

from typing import Protocol

from syncd.core.codec import pack
from syncd.core.errors import LocalProtocolError
from syncd.core.messages import Json, PresenceEntry
from syncd.core.replica import check_value


class PresenceHost(Protocol):
    """What presence needs of its session."""

    @property
    def presence_bytes_max(self) -> int:
        """How much the server takes."""
        ...

    def send_presence(self, state: Json) -> None:
        """Have the others see `state`, now and after every reconnect."""
        ...

    def present(self) -> list[PresenceEntry]:
        """Return everybody who is here."""
        ...


class Presence:
    """Who is here."""

    def __init__(self, host: PresenceHost) -> None:
        self._host = host
        self._mine: dict[str, Json] = {}

    def update(self, **state: Json) -> None:
        """Change some of what the others see of this peer; None takes a field away.

        Raises:
            LocalProtocolError: it is not JSON, or more than the server takes.
        """
        mine = {key: value for key, value in {**self._mine, **state}.items() if value is not None}
        check_value(mine)
        if len(pack(mine)) > self._host.presence_bytes_max:
            raise LocalProtocolError(f"presence holds at most {self._host.presence_bytes_max} bytes")
        self._mine = mine
        self.repeat()

    def repeat(self) -> None:
        """Say again what was said last, to whom it was not said yet."""
        self._host.send_presence(dict(self._mine))

    def everyone(self) -> list[PresenceEntry]:
        """Return everybody on this session now, this peer included; nobody while there is no link."""
        return self._host.present()
