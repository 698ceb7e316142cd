"""RunCalls: the ids of one run's tool calls, new ones and those of an attempt that it goes on from.

Reads a session's messages. Knows nothing of what tools do or of who decides.
"""

from __future__ import annotations

from collections.abc import Mapping

from syncd.core.messages import Json
from syncd.core.run_view import is_call_in, is_output
from syncd_client.history import Transcript


class RunCalls:
    """The tool calls of one handler's run.

    1. Of attempts that start over, each has ids of its own: what was decided on an earlier one's call is not for the
       call in its place.
    2. A run that is taken up again makes the same call again under the same id: what was decided on it counts.
    3. What others say of a call in messages of theirs, even ones that name the run, is not what was written for it.
    """

    def __init__(self, transcript: Transcript, run: str, *, agent: str, since: int, attempt: int) -> None:
        self._transcript = transcript
        self._run = run
        self._agent = agent
        self._since = since
        self._attempt = attempt
        self._count = 0
        self._used: set[str] = set()

    def begin(self, name: str, args: Json) -> tuple[str, Mapping[str, Json] | None]:
        """Return the id for a call, and the part that an earlier attempt wrote for the same one; None if none did."""
        earlier = self._earlier()
        before = None
        for part in earlier:
            same = args is not None and part.get("name") == name and part.get("input") == args
            if same and part["tool_call"] not in self._used:
                before = part  # Of several attempts that made it, the last one knows most.
        if before is not None:  # Invariant 2.
            id = str(before["tool_call"])
        else:
            taken = self._used | {str(part["tool_call"]) for part in earlier}
            while (id := f"{self._run}-{self._since}_{self._count}") in taken:  # Invariant 1.
                self._count += 1
        self._used.add(id)
        return id, before

    def named(self, call_id: str) -> tuple[str, Json] | None:
        """Return name and arguments of the last call that an earlier attempt made under this id of the model's."""
        for part in reversed(self._earlier()):
            if part.get("call_id") == call_id and "input" in part:
                return str(part.get("name", "")), part["input"]
        return None

    def _earlier(self) -> list[Mapping[str, Json]]:
        if self._since >= self._attempt:
            return []
        return [
            part
            for view in self._transcript.messages()
            if is_output(view, self._run, self._agent)  # Invariant 3.
            and (view.attempt or 0) < self._attempt
            and not self._transcript.superseded(view)
            for part in view.parts
            if is_call_in(part, self._run)
        ]
