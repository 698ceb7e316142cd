"""Mallory: a peer with a valid token that sends what no correct client would.

Speaks frames only. Knows what the server showed it, and every client id and clock, as if it had guessed them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from syncd.core.codec import decode_server, encode
from syncd.core.errors import Rejected
from syncd.core.messages import (
    LAYERS,
    Bye,
    ClientMessage,
    Closed,
    Declare,
    Layer,
    Leave,
    Open,
    Opened,
    Ping,
    Push,
    SetPresence,
    Update,
)
from syncd.core.update import Kind
from tests.core import yjs_bytes as yb
from tests.security.update_grammar import Grammar
from tests.sim.disk import ends_of
from tests.sim.ledger import HOSTILE, Ledger
from tests.sim.link import Link
from tests.sim.server import ServerNode

#: A string (0x77) among an array's values that is an item of a device's, and its length.
_STRING_ITEM = re.compile(rb"\x77(.)(?=item:)", re.DOTALL)


class Mallory:
    """One link at a time, no machine."""

    def __init__(self, session: str, server: ServerNode, ledger: Ledger, client_ids: tuple[int, int, int]) -> None:
        self.link: Link | None = None
        self._session = session
        self._server = server
        self._ledger = ledger
        self._id, *self._more = client_ids
        self._captured: list[tuple[Layer, bytes]] = []
        self._number = 0
        # Whether it may push; after a close it opens the session again.
        self._open = False

    def connect(self, link: Link) -> None:
        """A link is there."""
        self.link = link
        self._open = False

    def receive(self) -> None:
        """Read one frame, and keep what could be sent again."""
        assert self.link is not None
        message = decode_server(self.link.take_down())
        if isinstance(message, Update):
            self._captured.append((message.layer, message.update))
        elif isinstance(message, Closed):
            self._open = False
        elif isinstance(message, Opened):
            self._captured += message.updates.items()
        elif isinstance(message, Bye):
            self.link.client_left = True
            self.link = None
        del self._captured[:-20]

    def act(self, roll: int) -> None:
        """Send something, chosen by `roll`."""
        rng = Random(roll)
        acts: tuple[tuple[int, Callable[[Random], None]], ...] = (
            (5, self.open),
            (12, self._grammar),
            (6, self._message),
            (6, self._foreign_id),
            (8, self._take_over),
            (6, self._delete),
            (3, self._receipt),
            (5, self._replay),
            (3, self._flipped),
            (2, self._number_off),
            (4, self._declare),
            (3, self._presence),
            (1, self._garbage),
            (2, self._odd_frames),
        )
        act = rng.choices([act for _, act in acts], [weight for weight, _ in acts])[0]
        self._ledger.count("hostile frames")
        if not self._open:
            self.open(rng)
        act(rng)

    def _send(self, message: ClientMessage) -> None:
        if self.link is not None:
            self.link.up.append(encode(message))

    def _push(self, layer: Layer, update: bytes) -> None:
        self._number += 1
        self._send(Push(self._session, layer, self._number, update))

    # What it knows of the others

    def _state(self, layer: Layer) -> dict[int, int]:
        machine = self._server.machine
        return {} if machine is None else machine.document(layer).index.state

    def _victims(self, layer: Layer) -> list[int]:
        return sorted(self._state(layer).keys() - {self._id, *self._more})

    # Attacks

    def open(self, rng: Random) -> None:
        """Open the session, with claims that are not its own."""
        if self._open and rng.random() < 0.7:
            self._send(Leave(self._session))
        self._number, self._open = 0, True
        ids = (self._id, *rng.sample(self._victims(Layer.TRANSCRIPT), min(2, len(self._victims(Layer.TRANSCRIPT)))))
        odd = rng.uniform(-1.0, 1.0)
        self._send(
            Open(
                self._session,
                {Layer.STATE: rng.randbytes(4)} if 0.0 < odd < 0.05 else {},
                client_ids=ids,
                incarnation="another" if odd > 0.95 else "",
                version=1 << 40 if 0.9 < odd < 0.95 else 0,
            )
        )

    def _grammar(self, rng: Random) -> None:
        layer = rng.choice(LAYERS)
        if self._server.machine is None:
            return
        victims = self._victims(layer)
        clients = (self._id, *self._more, *rng.sample(victims, min(3, len(victims))))
        self._push(layer, Grammar(rng, layer, self._server.machine.document(layer).index, clients).update())

    def _entry(self, client_id: int, root: str, key: str) -> bytes:
        """A root-level entry `key` under `client_id`, at the clock where it is."""
        clock = self._state(Layer.TRANSCRIPT).get(client_id, 0)
        return yb.update(yb.section(client_id, clock, yb.shared(Kind.MAP, parent=root, key=key)))

    def _message(self, rng: Random) -> None:
        """A message of its own, which is its right."""
        self._push(Layer.TRANSCRIPT, self._entry(self._id, "messages", f"m{rng.getrandbits(40)}"))

    def _foreign_id(self, rng: Random) -> None:
        """A message in somebody else's name."""
        victims = self._victims(Layer.TRANSCRIPT)
        if victims:
            self._push(Layer.TRANSCRIPT, self._entry(rng.choice(victims), "messages", f"f{rng.getrandbits(40)}"))

    def _take_over(self, rng: Random) -> None:
        """A new value under somebody else's key, or a text that goes on with theirs."""
        keys = sorted(key for key in self._ledger.receipts if key != "schema")
        if keys and rng.random() < 0.5:
            root, _, key = rng.choice(keys).partition(":")
            clock = self._state(Layer.TRANSCRIPT).get(self._id, 0)
            item = yb.values(yb.NULL, parent="messages" if root == "m" else "commands", key=key)
            self._push(Layer.TRANSCRIPT, yb.update(yb.section(self._id, clock, item)))
        elif victims := self._victims(Layer.TRANSCRIPT):
            machine = self._server.machine
            assert machine is not None
            texts = [v for v in victims if machine.document(Layer.TRANSCRIPT).index.text_entry(v) is not None]
            victim = rng.choice(texts or victims)
            last = self._state(Layer.TRANSCRIPT)[victim] - 1
            writer = rng.choice((victim, self._id))
            clock = self._state(Layer.TRANSCRIPT).get(writer, 0)
            self._push(Layer.TRANSCRIPT, yb.update(yb.section(writer, clock, yb.text("forged", origin=(victim, last)))))

    def _delete(self, rng: Random) -> None:
        layer = Layer.TRANSCRIPT if rng.random() < 0.8 else Layer.STATE
        if victims := self._victims(layer):
            victim = rng.choice(victims)
            at = rng.randrange(self._state(layer)[victim])
            self._push(layer, yb.update(deletes={victim: [(at, 1)]}))

    def _receipt(self, rng: Random) -> None:
        self._push(Layer.TRANSCRIPT, self._entry(self._id, "receipts", f"m:{rng.getrandbits(40)}"))

    def _replay(self, rng: Random) -> None:
        if self._captured:
            self._push(*rng.choice(self._captured))

    def _flipped(self, rng: Random) -> None:
        if self._captured:
            layer, update = rng.choice(self._captured)
            at = rng.randrange(len(update))
            flipped = update[:at] + bytes((update[at] ^ 1 << rng.randrange(8),)) + update[at + 1 :]
            self._note_copies(update, flipped)
            self._push(layer, flipped)

    def _note_copies(self, update: bytes, flipped: bytes) -> None:
        """Tell the ledger of items that the server must take again: a bit of their client id made it a free one.

        Under an id that is nobody's, whoever may write the state may write anything, also what is there already.
        """
        try:
            moved = ends_of(flipped).items() - ends_of(update).items()
        except Rejected:
            return
        machine = self._server.machine
        mine = [(id, end) for id, end in moved if machine is None or machine._bindings.owner(id) in (None, HOSTILE)]
        if mine:
            for found in _STRING_ITEM.finditer(flipped):
                self._ledger.copied(flipped[found.end() :][: found[1][0]].decode(), mine)

    def _number_off(self, rng: Random) -> None:
        self._number += rng.choice((-1, 1, 5))
        self._number = max(0, self._number)

    def _declare(self, rng: Random) -> None:
        self._send(Declare(self._session, self._victims(rng.choice(LAYERS))[:50]))

    def _presence(self, rng: Random) -> None:
        self._send(SetPresence(self._session, rng.choice(({"subject": "user:mona"}, {"x": "y" * 5000}, [1], None))))

    def _garbage(self, rng: Random) -> None:
        if self.link is not None:
            self.link.up.append(rng.randbytes(rng.randrange(1, 30)))

    def _odd_frames(self, rng: Random) -> None:
        self._send(rng.choice((Ping(1), Leave("other"), Open("other", {}), Leave(self._session))))
