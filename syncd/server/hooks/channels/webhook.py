"""Webhook: notices as signed requests to a program, as Standard Webhooks says.

Knows nothing of retries: it tries once and says how it ended.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from syncd.core.messages import Json
from syncd.server.hooks.channel import DIGEST, Gone, Notice, Result, Retry, Sent
from syncd.server.hooks.targets import Outbound, Target, TargetFailed, TargetRefused

#: A longer text is cut to this when a body would be too large.
_TEXT_CHARS: Final = 500
_Event: TypeAlias = Mapping[str, Json]


def sign(secrets: Sequence[bytes], id: str, timestamp: int, body: bytes) -> str:
    """Return the header `webhook-signature`: one signature for each key, parted by blanks."""
    signed = b"%b.%d.%b" % (id.encode(), timestamp, body)
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in secrets)
    return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)


def headers_of(secrets: Sequence[bytes], id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a signed request."""
    return {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secrets, id, timestamp, body),
    }


def body_of(notice: Notice, bytes_max: int) -> bytes:
    """Return a notice's body, no larger than `bytes_max`: long texts are cut, then a digest's oldest events left out.

    The same notice has the same body at every attempt.
    """
    events = _fitting(notice, lambda event: event, bytes_max)
    if len(events) < len(notice.events):
        events = _fitting(notice, _shortened, bytes_max) or [{**notice.events[-1], "data": {}}]
    return _encode(_payload(notice, events))


def result_of(status: int, retry_after_s: float | None) -> Result:
    """Return what an answer means."""
    if 200 <= status < 300:
        return Sent()
    if status == 410:
        return Gone("answered 410")
    if 300 <= status < 400:
        return Retry(retry_after_s, f"answered {status}: redirects are not followed, name the right URL")
    return Retry(retry_after_s, f"answered {status}")


class WebhookChannel:
    """`Channel` of webhooks.

    1. What is sent is signed by each key of the target.
    2. Neither results nor logs hold the URL or anything of the answer but its status.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        outbound: Outbound,
        *,
        body_bytes_max: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._targets = targets
        self._outbound = outbound
        self._body_bytes_max = body_bytes_max
        self._clock = clock

    async def send(self, notice: Notice) -> Result:
        """Send a notice to its target."""
        target = self._targets.get(notice.target)
        if target is None or target.channel != "webhook":
            return Retry(None, "there is no such target in the configuration")
        return await post(self._outbound, target, notice.id, body_of(notice, self._body_bytes_max), self._clock())

    async def withdraw(self, notice: Notice) -> None:
        """Nothing: what a program was told is told."""


async def post(outbound: Outbound, target: Target, id: str, body: bytes, now: float) -> Result:
    """Send a signed body to a target once, and return how that ended. `now` is in Unix seconds."""
    headers = headers_of(target.secrets, id, int(now), body)
    try:
        reply = await outbound.post(target.url, body=body, headers=headers, timeout_s=target.timeout_s)
    except (TargetRefused, TargetFailed) as error:
        return Retry(None, str(error))
    return result_of(reply.status, reply.retry_after_s(now))


def _payload(notice: Notice, events: Sequence[_Event]) -> dict[str, Any]:
    told = {"rule": notice.rule, "subject": notice.subject}
    if notice.type != DIGEST:
        return _event(events[0]) | told
    data: dict[str, Any] = {"events": [_event(event) for event in events]}
    if len(events) < len(notice.events):
        data["left_out"] = len(notice.events) - len(events)
    head = {"id": notice.id, "type": DIGEST, "timestamp": events[-1]["at"], "session": notice.session, "by": ""}
    return head | {"data": data} | told


def _fitting(notice: Notice, shape: Callable[[_Event], _Event], bytes_max: int) -> Sequence[_Event]:
    """Return the newest events, each as `shape` makes it, that a body holds; those before are not looked at."""
    fitting: list[_Event] = []
    size, count = 0, len(notice.events)
    # Said in the body unless all fit; never longer than this.
    left_out = len(f',"left_out":{count - 1}') if count > 1 else 0
    for event in map(shape, reversed(notice.events)):
        size += len(_encode(_event(event))) + 1 if fitting else len(_encode(_payload(notice, [event])))
        if size - (left_out if len(fitting) == count - 1 else 0) > bytes_max:
            break
        fitting.append(event)
    return fitting[::-1]


def _event(event: _Event) -> dict[str, Any]:
    return {
        "id": event["id"],
        "type": event["type"],
        "timestamp": event["at"],
        "session": event["session"],
        "by": event["by"],
        "data": event["data"],
    }


def _shortened(event: _Event) -> _Event:
    data = {
        name: value[: _TEXT_CHARS - 1] + "…" if isinstance(value, str) and len(value) > _TEXT_CHARS else value
        for name, value in event["data"].items()
    }
    return {**event, "data": data}


def _encode(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
