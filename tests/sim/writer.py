"""Writer: what somebody honest does on a device: messages, commands, reads, streams, edits of the state, presence.

Notes what was written, so that it can be looked for. Knows nothing of disks and links.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from syncd.core.client import ClientMachine
from syncd.core.ids import uuid7
from syncd.core.messages import Layer
from syncd.core.replica import Replica
from syncd.core.schema import NewCommand, NewMessage, Root, text_part
from syncd.core.transcript import PartWriter, put_command, put_message, put_read
from syncd.core.update import EMPTY_UPDATE, Kind, encode_prefix
from tests.sim.ledger import Written
from tests.sim.worker import Worker, chains

if TYPE_CHECKING:
    from tests.sim.client import ClientNode

_WORDS = ("a ", "tok ", "né ", "漢字 ", "😀 ", "line\n")


class _Stream:
    """A message that grows, in a small document of its own."""

    def __init__(self, client_id: int, clock: int, message: NewMessage) -> None:
        self.client_id = client_id
        self.id = message.id
        self.replica = Replica({Root.MESSAGES: Kind.MAP}, client_id=client_id)
        self.replica.apply([encode_prefix(client_id, clock)])
        self.begun = put_message(self.replica, message)
        self.writer = PartWriter(self.replica, message.id)


class Writer:
    """One life's edits. Counters go on through all lives of a device, so nothing is written twice."""

    def __init__(self, node: ClientNode) -> None:
        self._node = node
        self._streams: list[_Stream] = []
        self._worker = Worker(node)

    def act(self, roll: int) -> None:
        """Make one edit, chosen by `roll`."""
        rng = Random(roll)
        acts: tuple[tuple[int, Callable[[Random], None]], ...] = (
            (22, self._message),
            (12, self._item),
            (12, self._set),
            (12, self._remove),
            (10, self._text),
            (5, self._command),
            (4, self._read),
            (4, self._presence),
            (3, self._undo),
            (4, self._change),
            (2, self._clash),
            (30 if self._node.name == "agent" else 4, self._stream),
            (25 if self._node.name == "agent" else 0, self._worker.act),
            (8 if self._node.name == "agent" else 0, self._ask),
        )
        act = rng.choices([act for _, act in acts], [weight for weight, _ in acts])[0]
        act(rng)

    # The transcript

    def _new(self, rng: Random, text: str) -> NewMessage:
        return NewMessage(
            id=self._id(rng),
            role="user",
            author={"kind": "user", "name": self._node.name},
            parts=(text_part(text),) if text else (),
            to=rng.choice(((), (), ("agent:planner",))) if text else (),
            created_at=self._next(),
        )

    def _id(self, rng: Random) -> str:
        return uuid7(self._next(), rng.randbytes(8) + self._node.rng.randbytes(2))

    def _next(self) -> int:
        self._node.ledger.counts["ids"] += 1
        return self._node.ledger.counts["ids"]

    def _note(self, key: str, text: str = "") -> Written:
        written = Written(self._node.name, self._node.subject, self._next(), text)
        self._node.ledger.written[key] = written
        return written

    def _message(self, rng: Random) -> None:
        text = f"{self._node.name} says {rng.choice(_WORDS)}"
        new = self._new(rng, text)
        self._note(f"m:{new.id}", text)
        self._node.edit(lambda machine: machine.edit(Layer.TRANSCRIPT, lambda replica: put_message(replica, new)))

    def _ask(self, rng: Random) -> None:
        """Write a tool call of a run that waits for a decision: nobody decides on one that is not there."""
        found = chains(self._node.machine.document(Layer.TRANSCRIPT).replica)
        open_runs = sorted(run for run, facts in found.items() if facts[-1]["lease"] != "ended")
        if not open_runs:
            return
        run = rng.choice(open_runs)
        part = {"type": "tool", "tool_call": f"{run}-1", "name": "book", "state": "approval-requested"}
        attempt = int(found[run][-1]["attempt"]) or 1
        new = replace(self._new(rng, ""), role="assistant", parts=(part,), run=run, attempt=attempt)
        self._note(f"m:{new.id}")
        self._node.ledger.asked.append(f"{run}-1")
        self._node.edit(lambda machine: machine.edit(Layer.TRANSCRIPT, lambda replica: put_message(replica, new)))

    def _command(self, rng: Random) -> None:
        runs = sorted(chains(self._node.machine.document(Layer.TRANSCRIPT).replica)) or ["none"]
        run = rng.choice(runs)
        call = rng.choice(self._node.ledger.asked[-5:] or [f"{run}-1"])
        kind, target, payload = rng.choice(
            (
                ("cancel", {"run": run}, None),
                ("steer", {"run": run}, {"text": "go on"}),
                ("approve", {"tool_call": call}, None),
                ("deny", {"tool_call": call}, None),
                ("handoff", {"session": self._node.session}, {"to": rng.choice(("agent:planner", "user:otto"))}),
                ("handoff", {"run": run}, {"to": "agent:other"}),
            )
        )
        new = NewCommand(self._id(rng), kind, self._next(), target, payload)
        self._note(f"c:{new.id}")
        self._node.edit(lambda machine: machine.edit(Layer.TRANSCRIPT, lambda replica: put_command(replica, new)))

    def _read(self, rng: Random) -> None:
        subject, seq = self._node.subject, self._node.machine.seq
        self._node.edit(
            lambda machine: machine.edit(Layer.TRANSCRIPT, lambda r: put_read(r, subject, seq=seq, at=self._next()))
        )

    def _change(self, rng: Random) -> None:
        """Change the metadata of a message of this subject's, or delete it."""
        replica = self._node.machine.document(Layer.TRANSCRIPT).replica
        written = self._node.ledger.written
        own = [
            id
            for id in sorted(replica.keys(Root.MESSAGES))
            if (found := written.get(f"m:{id}")) is not None and found.subject == self._node.subject
        ]
        if not own:
            return
        id = rng.choice(own)
        if rng.random() < 0.3:
            self._node.ledger.deleted.add(f"m:{id}")
            self._transcript(lambda r: r.remove((Root.MESSAGES,), id))
        else:
            self._transcript(lambda r: r.set((Root.MESSAGES, id), "attempt", rng.randrange(9)))

    def _transcript(self, change: Callable[[Replica], None]) -> None:
        self._node.edit(lambda machine: machine.edit(Layer.TRANSCRIPT, lambda replica: replica.edit(change)))

    # Streams

    def _stream(self, rng: Random) -> None:
        roll = rng.random()
        if not self._streams or (roll < 0.1 and len(self._streams) < 3):
            self._begin(rng)
            return
        stream = rng.choice(self._streams)
        if roll < 0.2:
            self._take(stream, stream.writer.finish())
            if stream in self._streams:
                self._node.stream_ids.give_back(stream.client_id)
                self._streams.remove(stream)
            return
        for _ in range(rng.choice((1, 1, 1, 4))):
            if stream not in self._streams:
                return
            text = f"{rng.choice(_WORDS)}{self._next()} "
            self._node.ledger.written[f"m:{stream.id}"].text += text
            self._take(stream, stream.writer.append(text))

    def _begin(self, rng: Random) -> None:
        node = self._node
        client_id, new = node.stream_ids.take()
        if new:
            node.machine.declare([client_id])
        clock = node.machine.document(Layer.TRANSCRIPT).index.state.get(client_id, 0)
        message = self._new(rng, "")
        stream = _Stream(client_id, clock, message)
        self._note(f"m:{message.id}")
        self._streams.append(stream)
        self._take(stream, stream.begun)

    def _take(self, stream: _Stream, update: bytes) -> None:
        if update == EMPTY_UPDATE:
            return
        if not self._node.edit(lambda machine: machine.take_own(Layer.TRANSCRIPT, update)):
            self._streams.remove(stream)

    # The state

    def _state(self, root: str, kind: Kind, change: Callable[[Replica], None]) -> None:
        def write(machine: ClientMachine) -> int | None:
            known = machine.document(Layer.STATE).index.roots.get(root, kind)
            if known is not kind:
                return None

            def edit(replica: Replica) -> bytes:
                replica.ensure_root(root, kind)
                return replica.edit(change)

            return machine.edit(Layer.STATE, edit)

        self._node.edit(write)

    def _length(self, root: str) -> int:
        return self._node.machine.document(Layer.STATE).replica.length(root)

    def _set(self, rng: Random) -> None:
        value: Any = rng.choice((self._next(), "x" * rng.randrange(60), [1, 2], {"a": None}))
        self._state("ui", Kind.MAP, lambda r: r.set(("ui",), f"k{rng.randrange(5)}", value))

    def _remove(self, rng: Random) -> None:
        keys = self._node.machine.document(Layer.STATE).replica.keys("ui")
        if keys:
            self._state("ui", Kind.MAP, lambda r: r.remove(("ui",), rng.choice(sorted(keys))))

    def _item(self, rng: Random) -> None:
        name = f"item:{self._node.name}:{self._next()}"
        at = self._length("items")
        if at and rng.random() < 0.2:
            self._state("items", Kind.ARRAY, lambda r: r.delete(("items",), at - 1, at))
        else:
            self._state("items", Kind.ARRAY, lambda r: r.insert(("items",), at, [name]))

    def _text(self, rng: Random) -> None:
        length = self._length("note")
        start = rng.randint(0, length)
        end = min(length, start + rng.choice((0, 0, 0, 1, 5)))
        self._state("note", Kind.TEXT, lambda r: r.text_replace(("note",), start, end, rng.choice(_WORDS)))

    def _clash(self, rng: Random) -> None:
        """Make a root whose kind others may decide otherwise at the same time."""
        if rng.random() < 0.5:
            self._state("clash", Kind.MAP, lambda r: r.set(("clash",), "k", 1))
        else:
            self._state("clash", Kind.ARRAY, lambda r: r.insert(("clash",), 0, [1]))

    def _undo(self, rng: Random) -> None:
        def write(machine: ClientMachine) -> int | None:
            def edit(replica: Replica) -> bytes:
                replica.track_undo("ui")
                return replica.undo(redo=rng.random() < 0.3)

            if "ui" not in machine.document(Layer.STATE).index.roots:
                return None
            return machine.edit(Layer.STATE, edit)

        self._node.edit(write)

    def _presence(self, rng: Random) -> None:
        self._node.machine.set_presence({"at": rng.randrange(1000)} if rng.random() < 0.9 else None)
        self._node.flush()
