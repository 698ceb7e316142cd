"""Push: notices to people's browsers by Web Push, one device or all of them.

Knows devices, push services and what they answer. Knows nothing of rules, and nothing of what a browser shows.
"""

import asyncio
import hashlib
import json
import time
from bisect import bisect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final
from weakref import WeakValueDictionary

import structlog

from syncd.core.messages import Json
from syncd.server.hooks.channel import DIGEST, Gone, Notice, Result, Retry, Sent
from syncd.server.hooks.channels.encryption import encrypt, to_text64
from syncd.server.hooks.channels.vapid import Vapid
from syncd.server.hooks.devices import Devices, may_tell, service_of
from syncd.server.hooks.targets import Outbound, TargetFailed, TargetRefused
from syncd.server.hooks.words import path, words
from syncd.store.subscriptions import Subscription

_log = structlog.get_logger("syncd.push")

#: Push services take 4 KB at most, encryption included; what is shown of a notice is far shorter than this.
PAYLOAD_BYTES_MAX: Final = 3_000
#: A push service keeps a notice this long for a device that is off: what is older is seen in the list of sessions.
TTL_S: Final = 24 * 3_600
TIMEOUT_S: Final = 15.0
#: Its browsers take no push that shows nothing: after three of them they forget the subscription.
_ALWAYS_SHOWN: Final = "push.apple.com"
_URGENT: Final = frozenset({"approval.requested", "session.assigned"})
_GONE: Final = (404, 410)
#: Requests under way to one push service: one that hangs holds up so many, and those of its own devices.
_SLOTS: Final = 50
_TOO_LARGE: Final = "the push service answered 413"


class PushChannel:
    """Web Push to the devices of a person.

    1. A person is told once, on the device last used, unless the rule's option `devices` is `all`: then once on each.
       A device that is gone is forgotten, and the next one is told instead.
    2. A device that was sent a notice is not sent it again at a later attempt.
    3. Of a notice of several sessions a device is told what is of those that it may be told of, and nothing else.
    4. A notice is withdrawn from the devices that were sent it, and show no later one in its place.
    5. A push service that hangs holds up the devices that it serves, and no others, of the same person neither.
    """

    def __init__(
        self,
        devices: Devices,
        vapid: Vapid,
        outbound: Outbound,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` returns Unix seconds."""
        self._devices = devices
        self._subscriptions = devices.subscriptions
        self._vapid = vapid
        self._outbound = outbound
        self._clock = clock
        #: By host, as long as somebody holds or awaits one.
        self._slots: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def send(self, notice: Notice) -> Result:
        """See `Channel.send`. The person's subject is `notice.subject`."""
        noted = await self._subscriptions.noted(notice.subject, notice.tag)
        has_it = {device for device, known in noted.items() if known == notice.id}
        everywhere = notice.options.get("devices") == "all"
        if has_it and not everywhere:
            return Sent()  # Invariant 2.
        about = {str(event["session"]) for event in notice.events}
        devices = [one for one in await self._devices.told(notice.subject, about) if one.device not in has_it]
        results: list[Result] = []
        if everywhere:
            results += await asyncio.gather(*(self._tell(device, notice) for device in devices))  # Invariant 5.
        else:
            for device in devices:
                results.append(await self._tell(device, notice))
                if not isinstance(results[-1], Gone):  # Invariant 1.
                    break
        retry = next((result for result in results if isinstance(result, Retry)), None)
        if retry is not None:
            return retry
        told = has_it or any(isinstance(result, Sent) for result in results)
        return Sent() if told else Gone("no device of this person takes pushes about this")

    async def withdraw(self, notice: Notice) -> None:
        """See `Channel.withdraw`. Not on Apple's devices, which show it until the session is opened there."""
        devices = await self._subscriptions.take_noted(notice.subject, notice.tag, notice.id)  # Invariant 4.
        await asyncio.gather(*(self._take_back(device, notice) for device in devices))

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        await self._outbound.close()

    async def _tell(self, device: Subscription, notice: Notice) -> Result:
        """Send a device its part of a notice: with its text, or, where that is too much, without."""
        notice = part_for(device, notice)
        urgency = "high" if notice.type in _URGENT else "low" if notice.type == DIGEST else "normal"
        for text in (notice.text, ""):
            result = await self._post(device, payload(notice, text), topic=notice.tag, urgency=urgency)
            if not isinstance(result, Retry) or result.reason != _TOO_LARGE:
                break
        if isinstance(result, Sent):
            now_ms = int(self._clock() * 1e3)
            await self._subscriptions.note(device, notice.tag, notice.id, notice.session, now_ms)
        return result

    async def _take_back(self, device: Subscription, notice: Notice) -> None:
        host = service_of(device)
        if host == _ALWAYS_SHOWN or host.endswith("." + _ALWAYS_SHOWN):
            return
        body = json.dumps({"withdraw": notice.tag}).encode()
        result = await self._post(device, body, topic=notice.tag, urgency="normal")
        if isinstance(result, Retry):
            _log.info("a notice was not withdrawn from a device", rule=notice.rule, reason=result.reason)

    async def _post(self, device: Subscription, body: bytes, *, topic: str, urgency: str) -> Result:
        headers = {
            "Authorization": self._vapid.authorization(device.endpoint),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(TTL_S),
            "Urgency": urgency,
            # At most 32 characters; what a push service still keeps under it is replaced.
            "Topic": to_text64(hashlib.sha256(topic.encode()).digest()[:24]),
        }
        sealed = encrypt(body, device.p256dh, device.auth)
        try:
            async with self._slots.setdefault(service_of(device), asyncio.Semaphore(_SLOTS)):  # Invariant 5.
                reply = await self._outbound.post(device.endpoint, body=sealed, headers=headers, timeout_s=TIMEOUT_S)
        except TargetRefused as error:
            await self._forget(device, str(error))
            return Gone("the device's push service is at an address that may not be used")
        except TargetFailed as error:
            return Retry(None, f"push service: {error}")
        if 200 <= reply.status < 300:
            return Sent()
        if reply.status in _GONE:
            await self._forget(device, f"the push service answered {reply.status}")
            return Gone(f"the push service answered {reply.status}")
        if reply.status == 413:
            return Retry(None, _TOO_LARGE)
        return Retry(reply.retry_after_s(self._clock()), f"the push service answered {reply.status}")

    async def _forget(self, device: Subscription, reason: str) -> None:
        # Only this endpoint: the browser may have subscribed anew meanwhile.
        if await self._subscriptions.drop(device.subject, device.device, endpoint=device.endpoint):
            _log.info("device forgotten", subject=device.subject, reason=reason)


def part_for(device: Subscription, notice: Notice) -> Notice:  # Invariant 3.
    """Return what of a notice a device may be told."""
    events = [event for event in notice.events if may_tell(device, event["session"])]
    if len(events) == len(notice.events):
        return notice
    session = events[0]["session"] if len({event["session"] for event in events}) == 1 else ""
    title, text = words(events, notice.subject)
    return replace(
        notice,
        session=session,
        type=events[0]["type"] if len(events) == 1 else DIGEST,
        events=events,
        title=title,
        text=text,
        path=path(session, ""),
    )


def payload(notice: Notice, text: str) -> bytes:
    """Return what the console's service worker is told, with as much of `text` as fits."""
    told: dict[str, Json] = {
        "id": notice.id,
        "type": notice.type,
        "session": notice.session,
        "title": notice.title,
        "text": text,
        "path": notice.path,
        "tag": notice.tag,
    }
    for name in ("text", "title"):
        whole = str(told[name])
        if len(_json(told)) > PAYLOAD_BYTES_MAX:
            fits = bisect(range(1, len(whole) + 1), PAYLOAD_BYTES_MAX, key=lambda n: _length(told, name, whole, n))
            told[name] = whole[:fits] + "…" if fits else ""
    return _json(told)


def _length(told: Mapping[str, Json], name: str, whole: str, chars: int) -> int:
    """Return the bytes of a notice whose `name` is cut to `chars` characters."""
    return len(_json({**told, name: whole[:chars] + "…"}))


def _json(value: Mapping[str, Json]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
