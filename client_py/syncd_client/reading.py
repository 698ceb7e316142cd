"""Reading: what a session's copy on this device says, from its documents as they stand.

Knows nothing of writing, of the store or of the link.
"""

from __future__ import annotations

from collections.abc import Mapping

from syncd.core.client import ClientMachine
from syncd.core.ids import run_key
from syncd.core.messages import Json, Layer
from syncd.core.replica import Replica, ReplicaBroken
from syncd.core.run_view import RunView, RunViews
from syncd.core.schema import Root
from syncd.core.transcript import MessageView, TranscriptView, read_command, read_commands, read_reads


class Reading:
    """What can be read of a session. `session.Session` is what it is read from.

    1. What is read together is of one state of the copy.
    """

    machine: ClientMachine

    def __init__(self) -> None:
        self._view = TranscriptView()
        self._runs = RunViews()

    def reload(self) -> None:
        """See `session.Session`."""
        raise NotImplementedError

    @property
    def seq(self) -> int:
        """The `seq` of the last message or command that this copy has."""
        views = self.messages()
        return max((view.seq for view in views if view.seq is not None), default=0)

    def messages(self) -> list[MessageView]:
        """Return all messages in the agreed order, own ones that are not sent yet last."""
        return self._view.messages(self._transcript())

    def message(self, message: str) -> MessageView | None:
        """Return one message, None if there is none of that id."""
        return self._view.message(self._transcript(), message)

    def history(self, *, before: int | None = None, limit: int = 50) -> list[MessageView]:
        """Return the newest `limit` messages with a `seq` below `before`, oldest first."""
        views = [v for v in self.messages() if v.seq is not None and (before is None or v.seq < before)]
        return views[-limit:]

    def commands(self) -> list[dict[str, Json]]:
        """Return all commands with their receipts, in the agreed order."""
        return read_commands(self._transcript())

    def command_json(self, command: str) -> dict[str, Json] | None:
        """Return one command with its receipt (None while there is none), None if there is none of that id."""
        return read_command(self._transcript(), command)

    def reads(self) -> dict[str, int]:
        """Return how far each subject has read: subject to `seq`."""
        return read_reads(self._transcript())

    def runs(self) -> list[RunView]:
        """Return all runs, in the order they were made in."""
        return self._runs.runs(self._transcript())

    def run(self, run: str) -> RunView | None:
        """Return one run, None if there is none of that id."""
        return self._runs.run(self._transcript(), run)

    def output_of(self, message: MessageView) -> RunView | None:
        """Return the run that a message is output of; None if its author is not that run's agent."""
        return self._runs.output_of(self._transcript(), message)

    def answers(self, message: MessageView) -> str | None:
        """Return the message that a message is an agent's answer to, in a run that was made of it."""
        run = self.output_of(message)
        return run.message if run is not None else None

    def outputs(self, run: str) -> list[MessageView]:
        """Return what a run's agent wrote in it, as far as it counts, in order."""
        return [
            view
            for view in self.messages()
            if view.run == run and self.output_of(view) is not None and not self.superseded(view)
        ]

    def superseded(self, message: MessageView) -> bool:
        """Whether a message is output of an attempt that no longer counts: kept, and shown as such."""
        return self._runs.superseded(self._transcript(), message)

    def decision(self, tool_call: str) -> Mapping[str, Json] | None:
        """Return the one decision on a tool call, `{command, by, kind, at, payload?}`; None before there is one."""
        return self._runs.decision(self._transcript(), tool_call)

    @property
    def responsible(self) -> str | None:
        """Who is responsible: the last that the session was handed to, a person or an agent."""
        found = self.handed_over()
        return str(found["to"]) if found is not None else None

    def handed_over(self) -> Mapping[str, Json] | None:
        """Return the last hand-over, `{to, by, at, note?, command}`; None if there was none."""
        return self._runs.responsible(self._transcript())

    def attempt_json(self, run: str, attempt: int) -> dict[str, Json]:
        """Return the entry of an attempt as it stands, empty if there is none."""
        found = self._replica(Layer.TRANSCRIPT).read(Root.RUNS, run_key(run, attempt))
        return found if isinstance(found, dict) else {}

    def _transcript(self) -> Replica:
        """Return the transcript, with both views of it told what changed."""  # Invariant 1.
        replica = self._replica(Layer.TRANSCRIPT)
        touched = self.machine.take_touched()
        self._view.touch(touched)
        self._runs.touch(touched)
        return replica

    def _replica(self, layer: Layer) -> Replica:
        try:
            return self.machine.document(layer).replica
        except ReplicaBroken:
            self.reload()
            raise

    def _read_anew(self) -> None:
        """Forget what was read: the documents are others."""
        self._view.reset()
        self._runs.reset()
