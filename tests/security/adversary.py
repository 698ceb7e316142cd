"""What an adversary with a good token meets: a server, a victim who has written all that can be written, and a witness.

The witness is a second client: what it sees of the victim's must never change.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

from syncd.core.messages import Ack, Closed, Layer, Opened, PresenceChanged, Reject, ServerMessage, Update
from syncd.core.replica import Replica, SharedMap
from syncd.core.schema import Root
from syncd.core.update import Kind
from syncd.server.app import Server
from tests.core.machines import Pen
from tests.harness import RawLink, mint, until

VICTIM = "user:victim"
EVE = "user:eve"


class View(RawLink):
    """A client that only reads: its replica of both layers, and who is here."""

    def __init__(self, url: str, token: str, *, device: str = "view") -> None:
        super().__init__(url, token, device=device)
        self.transcript = Replica(dict.fromkeys(map(str, Root), Kind.MAP))
        self.state = Replica({"ui": Kind.MAP})
        self.present: dict[str, Any] = {}
        #: Everything it was sent, for those who want to use it.
        self.updates: list[tuple[Layer, bytes]] = []
        self._taken = 0

    async def begin(self, session: str = "s") -> Self:
        """Say hello and open the session."""
        await self.hello()
        answer = await self.open(session)
        self._take(answer)
        return self

    def content(self) -> dict[str, Any]:
        """Return the transcript and the state as JSON, by root."""
        got, self.got = self.got, []
        for message in got:
            self._take(message)
        words = {str(root): self.transcript.read(root) for root in Root}
        return {**words, "ui": self.state.read("ui")}

    def _take(self, message: ServerMessage) -> None:
        if isinstance(message, Opened):
            for layer, update in message.updates.items():
                self._apply(layer, update)
            self.present = {entry.peer: entry for entry in message.presence}
        elif isinstance(message, Update):
            self._apply(message.layer, message.update)
        elif isinstance(message, PresenceChanged):
            self.present |= {entry.peer: entry for entry in message.entries}

    def _apply(self, layer: Layer, update: bytes) -> None:
        self.updates.append((layer, update))
        (self.transcript if layer is Layer.TRANSCRIPT else self.state).apply([update])


class Scene:
    """The victim's link and pen, the witness, and the adversary's link."""

    def __init__(self, server: Server, victim: RawLink, pen: Pen, witness: View, eve: RawLink) -> None:
        self.server = server
        self.victim = victim
        self.pen = pen
        self.witness = witness
        self.eve = eve
        self.before: Mapping[str, Any] = {}

    def forger(self, client_id: int = 0) -> Pen:
        """Return a pen whose document holds all that the witness saw."""
        pen = Pen(client_id)
        pen.state.ensure_root("ui", Kind.MAP)
        for layer, update in self.witness.updates:
            (pen.transcript if layer is Layer.TRANSCRIPT else pen.state).apply([update])
        return pen

    async def push(self, update: bytes, layer: Layer = Layer.TRANSCRIPT) -> str:
        """Let the adversary push; return the code of the refusal, `acked` without one."""
        number = await self.eve.push(update, layer=layer)

        def answer() -> str:
            for message in self.eve.got:
                if isinstance(message, Reject) and message.number == number:
                    return message.code
                if isinstance(message, Closed):
                    return f"closed {message.code}"
                if isinstance(message, Ack) and message.number >= number:
                    return "acked"
            return f"link {self.eve.close_code}" if self.eve.close_code is not None else ""

        code: str = await until(answer)
        self.eve.got.clear()
        if code.startswith("closed"):
            await self.eve.open()
        return code

    async def unchanged(self, *, but: tuple[str, str] | None = None) -> None:
        """The witness, brought up to date by a last word of the victim's, sees what it saw; `but` that one entry."""
        marker = await self.victim.push(self.pen.set("marker", self.victim.numbers["s"]), layer=Layer.STATE)
        await self.victim.expect(Ack, lambda ack: ack.number >= marker)
        await until(lambda: (self.witness.content()["ui"] or {}).get("marker") == marker - 1)
        now = self.witness.content()
        now["ui"].pop("marker")
        if but is not None:
            now[but[0]].pop(but[1], None)
            now["receipts"] = {key: value for key, value in now["receipts"].items() if value.get("by") != EVE}
        assert now == self.before


@asynccontextmanager
async def scene(server: Server, *, rights: tuple[str, ...] | None = None) -> AsyncIterator[Scene]:
    """A session `s` in which the victim wrote a message, a run, a command, a read mark and the state."""
    token = mint(EVE) if rights is None else mint(EVE, rights)
    async with (
        RawLink(server.url, mint(VICTIM), device="victim") as victim,
        View(server.url, mint("user:zoe", ())) as witness,
        RawLink(server.url, token, device="eve") as eve,
    ):
        await victim.hello()
        pen = Pen()
        await victim.open(client_ids=(pen.id,))
        await victim.push(pen.message("mine", id="m1"))
        await victim.push(pen.transcript_edit(lambda r: r.set((Root.RUNS,), "r1", SharedMap(status="running"))))
        await victim.push(pen.command("c1"))
        await victim.push(pen.transcript_edit(lambda r: r.set((Root.READS,), VICTIM, {"seq": 1, "at": 1})))
        number = await victim.push(pen.set("k", "v"), layer=Layer.STATE)
        await victim.expect(Ack, lambda ack: ack.number >= number)
        await witness.begin()
        await eve.hello()
        await eve.open()
        made = Scene(server, victim, pen, witness, eve)
        made.before = witness.content()
        assert set(made.before["messages"]) == {"m1"}
        assert made.before["receipts"]["m:m1"]["by"] == VICTIM
        yield made
