"""A server under attack from within: subjects with good tokens, some honest, one not, on one session's machine.

What it sends is frames; what is accepted of it changes nothing of anybody else's. Knows nothing of sockets.
"""

from collections.abc import Mapping
from random import Random
from typing import Any, Final

from syncd.core.codec import decode_client, encode
from syncd.core.errors import RemoteProtocolError
from syncd.core.grant import Grant
from syncd.core.limits import Limits
from syncd.core.messages import Ack, ClientMessage, Declare, Layer, Open, Push, Reject, SetPresence
from syncd.core.replica import check_value
from syncd.core.schema import SERVER_SUBJECT
from syncd.core.update import Kind, decode_update
from tests.core import yjs_bytes as yb
from tests.core.machines import SESSION, Server, fresh_id, member
from tests.core.traffic import TRANSCRIPT_ROOTS, state_traffic, transcript_traffic
from tests.fuzz.content import Differential, content_of, open_document
from tests.fuzz.mutate import mutate
from tests.fuzz.target import ACCEPTED
from tests.security.update_grammar import Grammar

LIMITS: Final = Limits()
EVE: Final = "user:eve"
_ROUND: Final = 500
_ROOTS: Final = dict.fromkeys(TRANSCRIPT_ROOTS, Kind.MAP)
#: An entry of the transcript: its root and its key.
Entry = tuple[str, str]


class Witness:
    """Notes who first wrote each entry of the transcript, from what readers see, and that nobody else changes it.

    Takes no word of the server's own book-keeping.
    """

    def __init__(self) -> None:
        self.seen: dict[Entry, Any] = {}
        self.authors: dict[Entry, str] = {}

    def look(self, content: Mapping[str, Any], by: str) -> None:
        """Compare with what was there before `by` wrote something."""
        now = {(root, key): value for root, held in content.items() for key, value in held["map"].items()}
        for entry in now.keys() | self.seen.keys():
            if now.get(entry) == self.seen.get(entry) and (entry in now) == (entry in self.seen):
                continue
            root, key = entry
            if root == "receipts":
                assert entry not in self.seen, f"{by} changed the receipt {key}"
                assert key == "schema" or now[entry]["by"] == by, f"{by} has a receipt as {now[entry]}"
            elif root == "reads":
                assert key == by, f"{by} wrote how far {key} has read"
            else:
                assert self.authors.setdefault(entry, by) == by, f"{by} changed {entry} of {self.authors[entry]}"
        self.seen = now


class ServerTarget:
    """One session: four honest subjects with a past, and an adversary; after 500 inputs there is another session.

    Four of five inputs are the adversary's, the others come from the honest, to whom the same rules apply.
    """

    def __init__(self, rng: Random, differential: Differential) -> None:
        self._rng = rng
        self._differential = differential
        self._drawn = self._accepted = 0
        self._start()

    def _start(self) -> None:
        rng = self._rng
        self._server = Server(LIMITS)
        self._witness = Witness()
        words, ids = transcript_traffic(rng.getrandbits(32), 30)
        edits, edit_ids = state_traffic(rng.getrandbits(32), 15)
        self._ids = {EVE: [fresh_id(), fresh_id(), 7]}
        for subject in ids:
            self._ids[subject] = [ids[subject], edit_ids[subject]]
        self._grants: dict[str, Grant] = {subject: member(subject[5:]) for subject in self._ids}
        self._numbers: dict[str, int] = {}
        self._writers: dict[int, str] = {}
        self._pushed = b""
        for subject in self._ids:
            self._attach(subject)
        self._real = {Layer.TRANSCRIPT: [], Layer.STATE: []}  # type: dict[Layer, list[bytes]]
        for layer, log in ((Layer.TRANSCRIPT, words), (Layer.STATE, edits)):
            for sent in log:
                self._real[layer].append(sent.update)
                assert self._send(sent.subject, self._push(sent.subject, layer, sent.update)) == ACCEPTED
                self._pusher = sent.subject
                self.check()
        keys = [key for _, key in self._witness.authors]
        self._keys = (*rng.sample(keys, min(len(keys), 8)), *ids, EVE, "k0", "k1", "m:k0")

    def _attach(self, subject: str) -> None:
        self._numbers[subject] = 0
        self._server.machine.detach(subject)
        self._server.attach(subject, grant=self._grants[subject])
        self._server.turn()
        self._server.drops.pop(subject, None)
        self._server.got(subject)

    def _push(self, subject: str, layer: Layer, update: bytes) -> bytes:
        return encode(Push(SESSION, layer, self._numbers[subject] + 1, update))

    def draw(self, rng: Random) -> bytes:
        if self._drawn and self._drawn % _ROUND == 0:
            self._end_round()
            self._start()
        self._drawn += 1
        self._pusher = EVE if rng.random() < 0.8 else rng.choice([*self._ids])
        roll = rng.random()
        if roll < 0.08:
            return self._odd_frame(rng)
        layer = Layer.TRANSCRIPT if rng.random() < 0.7 else Layer.STATE
        document = self._server.machine.document(layer)
        if roll < 0.14:  # a text that goes on, whosever it is
            client, clock = rng.choice([*document.index.state.items()])
            update = yb.update(yb.section(client, clock, yb.text("on", origin=(client, clock - 1))))
        elif roll < 0.3:  # somebody's real update, as it was or changed
            update = rng.choice(self._real[layer])
            if rng.random() < 0.8:
                update = mutate(update, rng, self._real[layer])
        else:
            own, everybody = self._ids[self._pusher], [id for each in self._ids.values() for id in each]
            receipts = [id for id in document.index.state if self._server.machine._bindings.owner(id) == SERVER_SUBJECT]
            # Mostly under its own ids; referring to others' half of the time.
            writers = own if rng.random() < 0.9 else everybody
            clients = tuple(own) if rng.random() < 0.5 else (*everybody, *receipts)
            roots = (*TRANSCRIPT_ROOTS, "messages", "messages", "other") if layer is Layer.TRANSCRIPT else ()
            grammar = Grammar(rng, layer, document.index, clients, writers=writers, roots=roots, keys=self._keys)
            update = grammar.update()
        return self._push(self._pusher, layer, update)

    def _odd_frame(self, rng: Random) -> bytes:
        others = [id for each in self._ids.values() for id in each]
        frames: list[ClientMessage] = [
            Declare(SESSION, tuple(rng.sample(others, 3))),
            SetPresence(SESSION, {"subject": "user:a", "peer": "user:a", "name": "a", "state": None}),
            SetPresence(SESSION, rng.choice((None, [], 1, {"x": "y" * 5_000}, {"x": float("nan")}))),
            Push(SESSION, Layer.STATE, rng.choice((0, 1, 99)), b"\0\0"),
            Open(SESSION, {Layer.STATE: rng.randbytes(4)}, tuple(rng.sample(others, 2))),
        ]
        return encode(rng.choice(frames))

    def feed(self, data: bytes) -> str:
        return self._send(self._pusher, data)

    def _send(self, subject: str, data: bytes) -> str:
        """Do what a link does with a frame; return what becomes of it."""
        server, pushed = self._server, False
        try:
            message = decode_client(data, LIMITS)
        except RemoteProtocolError as error:
            return error.code.name.lower()
        if isinstance(message, Open):
            server.machine.detach(subject)
            server.attach(subject, grant=self._grants[subject], opened=message)
            self._numbers[subject] = 0
        else:
            pushed = isinstance(message, Push)
            server.machine.receive(subject, message)
        if isinstance(message, Push):
            self._pushed = message.update
        server.now += 1.0
        server.turn()
        if subject in server.drops:
            drop = server.drops.pop(subject)
            self._attach(subject)
            return f"{drop.code.name.lower()} {drop.reason.split(':')[0] if drop.whole_link else ''}".strip()
        got = server.got(subject)
        for other in self._ids:
            server.got(other)
        if pushed:
            self._numbers[subject] += 1
            rejects = [answer for answer in got if isinstance(answer, Reject)]
            if rejects:
                self._attach(subject)  # so that what follows is not refused for what it builds on
                return rejects[0].code
            assert any(isinstance(answer, Ack) for answer in got), got
            return ACCEPTED
        return "answered"

    def check(self) -> None:
        self._accepted += 1
        for client in decode_update(self._pushed, LIMITS).sections:
            assert self._writers.setdefault(client, self._pusher) == self._pusher, "under somebody else's client id"
        machine = self._server.machine
        document = machine.document(Layer.TRANSCRIPT)
        held = {root: {"map": document.replica.read(root)} for root in TRANSCRIPT_ROOTS}
        self._witness.look(held, self._pusher)
        for entry in machine._presence.entries():
            assert entry.subject == entry.peer, "somebody is here as somebody else"
            check_value(entry.state)

    def finish(self) -> None:
        self._end_round()
        self._differential.settle()

    def _end_round(self) -> None:
        """Load the session again: it is the same; and Yjs reads the same, from the log as from what is served."""
        server = self._server
        again = server.reloaded()
        for layer in Layer:
            live, loaded = server.machine.document(layer), again.machine.document(layer)
            assert live.applied == loaded.applied
            roots = live.index.roots
            assert roots == loaded.index.roots
            kind = {Layer.TRANSCRIPT: 1, Layer.STATE: 2}[layer]
            log = [entry.data for entry in server.disk if entry.kind == kind]
            served, served_again = live.diff(), loaded.diff()
            contents = [content_of(open_document(roots, updates), roots) for updates in (log, [served], [served_again])]
            if layer is Layer.TRANSCRIPT:
                assert contents[0] == contents[1] == contents[2], "live and reloaded differ"
                assert server.texts() == again.texts()
                assert [view.by for view in server.machine.messages()] == [view.by for view in again.machine.messages()]
                self._differential.add(log, roots, contents[0])
            self._differential.add([served], roots, contents[1])
            decode_update(served, LIMITS)
