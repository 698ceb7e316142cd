"""Standing: where a session stands with the server, and when it is opened again.

Knows nothing of links, machines or edits.
"""

import asyncio
from typing import Protocol

from syncd.core.client_turn import Shut
from syncd.core.errors import CloseCode
from syncd_client.status import Link, Status


class StandingHost(Protocol):
    """What a standing needs of its session."""

    def open_again(self) -> None:
        """Open the session, if there is a link and it is not open on it."""
        ...

    def backoff_s(self, attempts: int, *, at_least_s: float) -> float:
        """Return how long to wait after so many attempts in a row."""
        ...

    def stands(self, status: Status) -> None:
        """Tell the app: the status is another."""
        ...


class Standing:
    """One session's status, and the timer of its next opening.

    1. What the server refused for good is not opened again before `retry`.
    2. Each failure in a row waits longer than the one before.
    """

    def __init__(self, host: StandingHost) -> None:
        self._host = host
        self._refusal: Shut | None = None
        self._attempts = 0
        self._reopen: asyncio.TimerHandle | None = None
        self.status = Status(Link.OFFLINE)

    @property
    def refused(self) -> bool:
        """Whether the server refused it for good."""
        return self._refusal is not None

    @property
    def waits(self) -> bool:
        """Whether it will be opened again by itself, after a while."""
        return self._reopen is not None

    def opened(self, *, storage_full: bool) -> None:
        """It is live."""
        self._attempts = 0
        self.set(Status(Link.LIVE, storage_full=storage_full))

    def shut(self, shut: Shut, *, storage_full: bool) -> None:
        """It was closed, by either side: wait and open it again, unless it was refused."""
        if 4400 <= shut.code < 4500:
            self._refusal = shut  # Invariant 1.
            self.set(Status(Link.REFUSED, int(shut.code), shut.reason))
            return
        full = shut.code == CloseCode.STORAGE_FULL
        self.set(Status(Link.RECONNECTING, int(shut.code), shut.reason, storage_full=full or storage_full))
        self.reopen_in(self._host.backoff_s(self._attempts, at_least_s=1.0 if full else 0))
        self._attempts += 1  # Invariant 2.

    def link_down(self, status: Status) -> None:
        """The link is gone, or comes back; `status` says which."""
        if self._refusal is None:
            self.set(status)

    def storage(self, full: bool) -> None:
        """The server's storage is full, or has space again."""
        self.set(Status(self.status.link, storage_full=full))

    def set(self, status: Status) -> None:
        """Take a status, and tell it if it is another."""
        if status != self.status:
            self.status = status
            self._host.stands(status)

    def reopen_in(self, delay_s: float) -> None:
        """Open it again after this long, and not earlier."""
        self.close()
        self._reopen = asyncio.get_running_loop().call_later(delay_s, self._reopen_now)

    def _reopen_now(self) -> None:
        self._reopen = None
        self._host.open_again()

    def retry(self) -> None:
        """Open again what the server refused: the token is another, or the app says that something changed."""
        self._refusal = None
        self.reopen_in(0.0)

    def close(self) -> None:
        """Do not open it again by itself."""
        if self._reopen is not None:
            self._reopen.cancel()
