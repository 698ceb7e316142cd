"""World: one server, several clients, a hostile peer, their disks and links, and a list of actions that happen to them.

Everything is decided by the seed. Knows nothing of how seeds are chosen or failures reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from unittest import mock

from syncd.core.client import LinkState
from syncd.core.codec import encode
from syncd.core.grant import MEMBER_RIGHTS, Grant, Right
from syncd.core.ids import new_client_id
from syncd.core.limits import Limits
from syncd.core.messages import Refresh
from tests.sim import checks
from tests.sim.actions import NODES, Action
from tests.sim.client import ClientNode
from tests.sim.hostile import Mallory
from tests.sim.ledger import HOSTILE, Broken, Ledger
from tests.sim.link import Link
from tests.sim.server import ServerNode

SESSION = "s"
#: Small, so that readers fall behind and logs are folded within a few hundred actions.
LIMITS = Limits(outbox_bytes_max=400, compact_entries=4, compact_bytes=2000)
#: The person's two devices are one subject.
_SUBJECTS = {"mona": "user:mona", "phone": "user:mona", "otto": "user:otto", "agent": "agent:planner"}
_TOKEN_S = 900.0
#: As a roll: all frames there are. Any other means one to four.
_ALL = 1 << 30
_ROUNDS_MAX = 60
#: The highest there are: of two entries under one key theirs would win.
_HOSTILE_IDS = ((1 << 53) - 1, (1 << 53) - 2, (1 << 53) - 3)
_RIGHTS: tuple[frozenset[Right] | None, ...] = (
    *(MEMBER_RIGHTS,) * 6,
    MEMBER_RIGHTS - {Right.STATE},
    MEMBER_RIGHTS - {Right.COMMAND},
    MEMBER_RIGHTS - {Right.TRANSCRIPT, Right.COMMAND},
    MEMBER_RIGHTS - {Right.PRESENCE},
    frozenset(),
    None,
)


class World:
    """Everything there is. `run` does a list of actions, then lets all faults end and looks whether all is well."""

    def __init__(self, seed: int) -> None:
        self.ledger = Ledger()
        self.now_s = 0.0
        self.rng = Random(seed ^ 0x5EED)
        self.server = ServerNode(SESSION, LIMITS, self.ledger, self.rng, lambda: self.now_s)
        self.rights: dict[str, frozenset[Right] | None] = dict.fromkeys((*NODES, "mallory"), MEMBER_RIGHTS)
        self._serial = 0
        self._reconnects = seed % 4 == 0
        self.clients = {
            name: ClientNode(
                name, _SUBJECTS[name], SESSION, LIMITS, self.ledger, self.rng, lambda: self.now_s, self.fresh_id
            )
            for name in NODES
        }
        self.mallory = Mallory(SESSION, self.server, self.ledger, _HOSTILE_IDS)
        # Links whose end the server has not noticed.
        self._half_open: list[Link] = []
        self._acts: dict[str, Callable[[ClientNode, int], object]] = {
            "edit": lambda node, roll: node.writer.act(roll),
            "store": lambda node, roll: node.step(),
            "up": self._up,
            "down": self._down,
            "server": lambda node, roll: self.server.finish() or self.server.begin(),
            "torn": lambda node, roll: self._torn(roll),
            "connect": lambda node, roll: self._connect(node),
            "round": lambda node, roll: self.round(),
            "hostile": lambda node, roll: self._hostile(roll),
            "catch_up": lambda node, roll: self.server.catch_up(),
            "fold": lambda node, roll: self._fold(node, roll),
            "clock": lambda node, roll: self._clock(roll),
            "notice": lambda node, roll: self._notice(),
            "cut": self._cut,
            "stall": self._stall,
            "flow": lambda node, roll: self._flow(node),
            "duplicate": self._duplicate,
            "lose": self._lose,
            "crash_client": self._crash_client,
            "crash_server": lambda node, roll: self._crash_server(roll),
            "full": lambda node, roll: self._full(True),
            "space": lambda node, roll: self.server.space(),
            "full_client": lambda node, roll: self._full_client(node, True),
            "space_client": lambda node, roll: self._full_client(node, False),
            "revoke": lambda node, roll: self._revoke(node),
            "regrant": self._regrant,
            "evict": lambda node, roll: self.server.evict(),
        }

    def fresh_id(self) -> int:
        """Return a client id that was never used."""
        return new_client_id(self.rng.randbytes(7))

    # Running

    def run(self, actions: Sequence[Action]) -> None:
        """Do all actions, then heal.

        Raises:
            AssertionError: a promise was broken. Any other error is as bad.
        """
        nodes = list(self.clients.values())
        with self._deterministic():
            for step, action in enumerate(actions):
                self.ledger.count("steps")
                self._acts[action.kind](self.clients[action.node], action.roll)
                self.now_s += 0.01
                checks.anytime(self.server, nodes, self.ledger, step)
            self._heal()
            checks.finally_(self.server, nodes, self.ledger)

    @contextmanager
    def _deterministic(self) -> Iterator[None]:
        with (
            mock.patch("syncd_client.copy.fresh_client_id", self.fresh_id),
            mock.patch("syncd_client.copy.now_ms", self._now_ms),
        ):
            try:
                yield
            finally:
                for node in self.clients.values():
                    node.close()

    def _now_ms(self) -> int:
        return int(self.server.wall_s * 1000)

    def _heal(self) -> None:
        """End all faults and go on until nothing moves. In one seed of four everybody connects anew.

        In the others links stay: a handshake would repair what was forgotten.
        """
        self.server.space()
        for name in (*NODES, "mallory"):
            self.rights[name] = MEMBER_RIGHTS
        for node in self.clients.values():
            node.disk.full = False
            self._flow(node)
            if self._reconnects:
                self._end(node, 0)
        if self.mallory.link is not None:
            self.mallory.link.client_left = True
            self._half_open.append(self.mallory.link)
            self.mallory.link = None
        for _ in range(_ROUNDS_MAX):
            for node in self.clients.values():
                node.refused = False
                node.tick()
                if node.link is not None and node.link.grant.rights(SESSION) != MEMBER_RIGHTS:
                    self._end(node, 0)  # It comes back with all its rights.
            self._notice()
            moved = self.round()
            self.now_s += 10.0
            live = all(node.machine.state is LinkState.OPEN for node in self.clients.values())
            if self._waits_for_time():
                continue
            if not moved and live and not any(node.machine.unsynced for node in self.clients.values()):
                return
        where = {name: (node.machine.state.value, node.machine.unsynced) for name, node in self.clients.items()}
        raise Broken(f"it never comes to rest: {where}")

    def _waits_for_time(self) -> bool:
        machine = self.server.machine
        return machine is not None and machine.due_at() is not None

    def round(self) -> bool:
        """Let everybody do all they can; return whether anything moved."""
        moved = False
        for node in self.clients.values():
            moved |= self._connect(node)
            while node.busy:
                node.step()
                moved = True
            node.flush()
            if node.link is not None:
                moved |= bool(node.link.up) and not node.link.up_stalled
                self._up(node, _ALL)
        if self.mallory.link is not None:
            self._read_up(self.mallory.link, _ALL)
        while self.server.finish() or self.server.begin():
            moved = True
        for node in self.clients.values():
            if node.link is not None:
                moved |= bool(node.link.down) and not node.link.down_stalled
                self._down(node, _ALL)
        self.server.catch_up()
        return moved

    # Links

    def token(self, name: str) -> str:
        """Return a fresh token."""
        self._serial += 1
        rights = self.rights[name]
        sessions = ((SESSION, rights),) if rights is not None else ()
        subject = _SUBJECTS.get(name, HOSTILE)
        token = f"{name}-{self._serial}"
        self.server.tokens[token] = Grant(subject, name, "user", sessions, self.server.wall_s + _TOKEN_S, token)
        return token

    def _link(self, name: str) -> Link | None:
        token = self.token(name)
        link = Link(f"{name}-{self._serial}", self.server.tokens[token])
        return link if self.server.accept(token, link) else None

    def _connect(self, node: ClientNode) -> bool:
        if node.link is not None and node.link.server_left and not node.link.down:
            self._end(node, 0)
        if node.link is not None or node.refused:
            return node.reopen()
        link = self._link(node.name)
        if link is not None:
            self.ledger.count("connects")
            link.worker = node.life
            node.connect(link)
        return True

    def _read_up(self, link: Link, count: int) -> None:
        while link.up and count and not link.up_stalled:
            self.server.receive(link)
            count -= 1

    def _up(self, node: ClientNode, roll: int) -> None:
        node.flush()
        if node.link is not None:
            self._read_up(node.link, _some(roll))

    def _down(self, node: ClientNode, roll: int) -> None:
        count = _some(roll)
        while node.link is not None and node.link.down and count and not node.link.down_stalled:
            node.receive()
            count -= 1

    def _cut(self, node: ClientNode, roll: int) -> None:
        if node.link is not None:
            self.ledger.count("cuts")
            self._end(node, roll)

    def _end(self, node: ClientNode, roll: int) -> None:
        """A link ends: each way, a prefix of what was under way still arrives."""
        link = node.link
        if link is None:
            return
        rng = Random(roll)
        for _ in range(rng.randint(0, len(link.down))):
            if node.link is link:
                node.receive()
        node.disconnect()
        link.client_left = True
        arrives = rng.randint(0, len(link.up))
        while len(link.up) > arrives:
            link.up.pop()
        self._half_open.append(link)
        if rng.random() < 0.5:
            self._notice()

    def _notice(self) -> None:
        """The server reads what still came of links that ended, and notices their end."""
        ended, self._half_open = self._half_open, []
        for link in ended:
            while link.up and not link.server_left:
                self.server.receive(link)
            self.server.forget(link)

    def _stall(self, node: ClientNode, roll: int) -> None:
        if node.link is not None:
            node.link.up_stalled |= bool(roll & 1)
            node.link.down_stalled |= bool(roll & 6)

    def _flow(self, node: ClientNode) -> None:
        if node.link is not None:
            node.link.up_stalled = node.link.down_stalled = False

    def _duplicate(self, node: ClientNode, roll: int) -> None:
        if node.link is not None and node.link.duplicate(roll):
            self.ledger.count("duplicates")

    def _lose(self, node: ClientNode, roll: int) -> None:
        """Of a broken middlebox: the next push is not the next number."""
        node.flush()
        if node.link is not None and node.link.lose_push(roll):
            self.ledger.count("lost pushes")

    # Crashes, disks, clocks

    def _crash_client(self, node: ClientNode, roll: int) -> None:
        self.ledger.count("client crashes")
        link = node.link
        if link is not None:
            link.client_left = True
            self._half_open.append(link)
        node.crash(roll)

    def _crash_server(self, roll: int) -> None:
        self.ledger.count("server crashes")
        self.server.crash(roll)
        self._server_gone(roll)

    def _torn(self, roll: int) -> None:
        if self.server.finish(torn=roll):
            self.ledger.count("server crashes")
            self._server_gone(roll)

    def _server_gone(self, roll: int) -> None:
        self._half_open.clear()
        for at, node in enumerate(self.clients.values()):
            self._end(node, roll + at)
        self.mallory.link = None
        self._half_open.clear()

    def _full(self, full: bool) -> None:
        self.ledger.count("disk full")
        self.server.disk.full = full

    def _full_client(self, node: ClientNode, full: bool) -> None:
        node.disk.full = full

    def _fold(self, node: ClientNode, roll: int) -> None:
        if roll % 3:
            self.server.fold()
        else:
            node.fold()

    def _clock(self, roll: int) -> None:
        self.now_s += (0.2, 5.0, 30.0, 70.0)[roll % 4]
        self.server.wall_s += (0.0, 30.0, 3600.0, -3600.0)[(roll >> 2) % 4]
        self.server.watch()
        for node in self.clients.values():
            node.tick()

    # Tokens

    def _revoke(self, node: ClientNode) -> None:
        if node.link is not None:
            self.ledger.count("revocations")
            self.server.revoke(node.link.grant.token_id)

    def _regrant(self, node: ClientNode, roll: int) -> None:
        """A token with other rights; a link that is there is given it in the midst of everything."""
        self.rights[node.name] = _RIGHTS[roll % len(_RIGHTS)]
        node.refused = False
        self.ledger.count("regrants")
        if node.link is not None and roll & 64:
            node.send(encode(Refresh(self.token(node.name))))

    def _hostile(self, roll: int) -> None:
        mallory = self.mallory
        if mallory.link is None or mallory.link.server_left:
            link = self._link("mallory")
            if link is None:
                return
            mallory.connect(link)
        while mallory.link is not None and mallory.link.down and roll % 5:
            mallory.receive()
        for turn in range(1 + roll % 3):
            mallory.act(roll + turn)
        if mallory.link is not None and roll % 7:
            self._read_up(mallory.link, _ALL)


def _some(roll: int) -> int:
    return roll if roll == _ALL else 1 + roll % 4
