"""Devices: people's browsers that take pushes, registered and given up by the people themselves.

Says what a subscription must be to be kept, and which device may be told what. Knows nothing of requests, and nothing
of what is sent.
"""

import ipaddress
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from syncd.core.grant import Grant
from syncd.server.hooks.channels.encryption import check_keys, from_text64
from syncd.server.hooks.targets import Guard, TargetRefused
from syncd.store.subscriptions import Subscription, Subscriptions

#: A device whose console was not opened for this long is told nothing more.
UNUSED_S: Final = 60 * 86_400.0
#: Whether one of these token ids, or all tokens of this subject up to this time (Unix s), were revoked.
Revoked: TypeAlias = Callable[[Iterable[str], str, float], bool]


class BadSubscription(ValueError):
    """What a browser gave is no subscription that can be kept. The message is for whoever wrote the page."""


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of all people, each seen by its own person alone.

    1. An endpoint is a URL that somebody gave: nothing of one's own network is behind it (`Guard`), neither now nor,
       by the check when it is connected to, later.
    2. A person has `devices_max` devices at most: one more takes the place of the one that was used least lately.
    3. A device is told only of sessions that the token it was last named with could read, and only as long as that
       token was not revoked and the console was opened there within `UNUSED_S`.

    `public_key` is what browsers subscribe with. `clock` returns Unix seconds.
    """

    subscriptions: Subscriptions
    public_key: str
    guard: Guard
    devices_max: int
    revoked: Revoked
    clock: Callable[[], float] = time.time

    async def register(
        self, grant: Grant, device: str, *, endpoint: str, p256dh: str, auth: str, name: str = ""
    ) -> None:
        """Have the grant's subject told on a device from now on, or say that it was used just now.

        Raises:
            BadSubscription: the endpoint or the keys are unusable.
            EndpointTaken: another browser has this endpoint.
        """
        try:
            self.guard.check_url(endpoint)  # Invariant 1.
        except TargetRefused as error:
            raise BadSubscription(f"endpoint: {error}") from None
        if urlsplit(endpoint).scheme != "https" and not _is_address(endpoint):
            raise BadSubscription("endpoint: push services are reached by https://")
        try:
            point, secret = from_text64(p256dh), from_text64(auth)
            check_keys(point, secret)
        except ValueError as error:
            raise BadSubscription(f"keys: {error}") from None
        now_ms = int(self.clock() * 1e3)
        given = Subscription(
            grant.subject,
            device,
            endpoint,
            point,
            secret,
            name,
            now_ms,
            now_ms,
            grant.token_id,
            grant.via,
            grant.sessions,
        )
        await self.subscriptions.put(given, devices_max=self.devices_max)  # Invariant 2.

    async def of(self, subject: str) -> Sequence[Subscription]:
        """Return a person's devices, the last used first."""
        return await self.subscriptions.of(subject)

    async def told(self, subject: str, sessions: Collection[str]) -> Sequence[Subscription]:
        """Return a person's devices that may be told of one of these sessions at least, the last used first."""
        return [
            one
            for one in await self.subscriptions.of(subject)
            if self._counts(one) and any(may_tell(one, session) for session in sessions)  # Invariant 3.
        ]

    async def prune(self) -> int:
        """Forget the devices that may be told nothing any more; return how many. At the start, and after revoking.

        A revocation is forgotten once no token can be concerned any more. What it ended must not begin again then.
        """
        after, count = ("", ""), 0
        while page := await self.subscriptions.page(after):
            for one in page:
                if not self._counts(one):
                    count += await self.subscriptions.drop(one.subject, one.device, endpoint=one.endpoint)
            after = page[-1].subject, page[-1].device
        return count

    def _counts(self, one: Subscription) -> bool:
        used_at = one.used_at_ms / 1e3
        if self.clock() - used_at > UNUSED_S:
            return False
        # Who names a device with a good token has one that was issued before.
        return not self.revoked((one.token_id, *one.via), one.subject, used_at)

    async def forget(self, subject: str, device: str) -> bool:
        """Tell a device nothing more; return whether it was told before."""
        return await self.subscriptions.drop(subject, device)


def may_tell(one: Subscription, session: str) -> bool:
    """Whether a device that is told at all may be told of a session. Of what is of none, each may be."""
    return not session or one.may_read(session)


def _is_address(endpoint: str) -> bool:
    """Whether its host is an address, which the guard has checked already."""
    try:
        ipaddress.ip_address(urlsplit(endpoint).hostname or "")
    except ValueError:
        return False
    return True


def service_of(one: Subscription) -> str:
    """Return the host of a device's push service: enough to tell devices apart, and nothing to send to."""
    return urlsplit(one.endpoint).hostname or ""
