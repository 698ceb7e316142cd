"""Wake: calls agents that run only when they are called, until they have claimed what waits for them.

Knows nothing of what an agent does then: it comes to the server and claims, like any other.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Final

from syncd.server.hooks.channel import Notice, Result, Retry, Sent
from syncd.server.hooks.channels.webhook import post
from syncd.server.hooks.targets import Outbound, Target

#: An agent that answers and claims nothing is called again after twice as long each time, up to this.
_AGAIN_S_MAX: Final = 3_600.0


class WakeChannel:
    """`Channel` of calls to agents.

    1. A run that is not waiting any more is not called for.
    2. An answer is no claim: the agent is called again until the run is not waiting.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        outbound: Outbound,
        waits: Callable[[str, str], bool],
        *,
        again_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`waits(session, run)`: whether a run waits for a worker."""
        self._targets = targets
        self._outbound = outbound
        self._waits = waits
        self._again_s = again_s
        self._clock = clock

    async def send(self, notice: Notice) -> Result:
        """Call an agent once, if what it is called for still waits."""
        event = notice.events[0]
        data = event["data"]
        if not self._waits(event["session"], data["run"]):  # Invariant 1.
            return Sent()
        target = self._targets.get(notice.target)
        if target is None or target.channel != "wake":
            return Retry(None, "there is no such target in the configuration")
        payload = {
            "id": notice.id,
            "type": "agent.wake",
            "timestamp": event["at"],
            "session": event["session"],
            "by": event["by"],
            "data": {name: data[name] for name in ("agent", "run", "message", "attempt") if name in data},
        }
        body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
        result = await post(self._outbound, target, notice.id, body, self._clock())
        if not isinstance(result, Sent):
            return result
        if not self._waits(event["session"], data["run"]):
            return Sent()
        again_s = min(self._again_s * 2 ** min(notice.attempt - 1, 20), _AGAIN_S_MAX)
        return Retry(again_s, "answered, and has not claimed the run yet", answered=True)  # Invariant 2.

    async def withdraw(self, notice: Notice) -> None:
        """Nothing: whoever was called finds nothing to claim."""
