"""Checks of a whole world: what holds at any time, and what holds when all faults have ended.

Looks at replicas as an app would. Knows nothing of actions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from syncd.core.document import Document
from syncd.core.ids import run_key
from syncd.core.messages import LAYERS, Json, Layer
from syncd.core.server import ServerMachine
from tests.sim.client import ClientNode, run
from tests.sim.disk import ends_of
from tests.sim.ledger import Broken, Ledger
from tests.sim.server import ServerNode

View = dict[str, Json]


def anytime(server: ServerNode, clients: Sequence[ClientNode], ledger: Ledger, turn: int) -> None:
    """Whoever's turn it is shows nothing twice, out of order, forged or differently receipted; queues keep bounds."""
    machine = server.machine
    if turn % (len(clients) + 1) < len(clients):
        node = clients[turn % (len(clients) + 1)]
        _check_view(view(node.machine.document), node.name, ledger, complete=False)
    elif machine is not None:
        _check_view(view(machine.document), "the server", ledger, complete=True)
    if machine is not None:
        assert len(machine._presence) <= machine.peers, "presence of somebody who is gone"
    for link in server.links.values():
        bound = 9 * server.limits.outbox_bytes_max + link.owed_bytes + server.limits.frame_bytes_max
        assert link.down_bytes <= bound, f"{link.down_bytes} bytes wait for {link.peer}"


def view(document: Callable[[Layer], Document]) -> View:
    """Return what an app sees: each root's plain value. An empty root may not be there at all."""
    found = {}
    for layer in LAYERS:
        replica = document(layer).replica
        for root in document(layer).index.roots:
            if value := replica.read(root):
                found[f"{layer}/{root}"] = value
    return found


def _check_view(seen: View, who: str, ledger: Ledger, *, complete: bool) -> None:
    receipts, messages = seen.get("transcript/receipts", {}), seen.get("transcript/messages", {})
    ledger.check_receipts(receipts, who=who, complete=complete)
    ledger.check_there(receipts, {"m:": messages, "c:": seen.get("transcript/commands", {})}, who=who)
    ledger.check_messages(_texts(messages), who=who)
    items = seen.get("state/items")
    ledger.check_items(items if isinstance(items, list) else [], who=who)


def _texts(messages: Mapping[str, Json]) -> dict[str, str]:
    found = {}
    for id, message in messages.items():
        if isinstance(message, dict) and isinstance(parts := message.get("parts"), list):
            found[id] = "".join(part["text"] for part in parts if isinstance(part, dict) and "text" in part)
    return found


def finally_(server: ServerNode, clients: Sequence[ClientNode], ledger: Ledger) -> None:
    """All replicas are equal, all that was saved is there or set aside, and every disk loads to what is in memory."""
    machine = server.machine
    assert machine is not None
    whole = view(machine.document)
    _check_view(whole, "the server", ledger, complete=True)
    _check_reload(server, whole)
    for node in clients:
        for layer in LAYERS:
            if node.machine.document(layer).applied != machine.document(layer).applied:
                raise Broken(f"{node.name} has another {layer} than the server")
        again = run(node.copy.load(node.subject))
        _same(view(node.machine.document), whole, node.name)
        if node is clients[len(whole) % len(clients)]:  # Reading them all would take half of the time.
            _same(view(again.document), whole, f"{node.name}, loaded again,")
        for layer in LAYERS:
            if again.document(layer).applied != machine.document(layer).applied:
                raise Broken(f"{node.name}, loaded again, has another {layer}")
        if again.seq != machine.content.seq or node.machine.seq != machine.content.seq:
            raise Broken(
                f"{node.name} counts {node.machine.seq}, on its disk {again.seq}, the server {machine.content.seq}"
            )
        if sorted(node.machine.presence) != sorted(entry.peer for entry in machine._presence.entries()):
            raise Broken(f"{node.name} sees others than are here: {sorted(node.machine.presence)}")
        _check_saved(node, server)


def _check_reload(server: ServerNode, whole: View) -> None:
    machine, again = server.machine, server.load()
    assert machine is not None
    if (again.version, again.content.seq) != (machine.version, machine.content.seq):
        raise Broken(f"loaded again, the server is at {again.version} and {again.content.seq}, was {machine.version}")
    if _decided(again) != _decided(machine):
        raise Broken(f"loaded again, the server decided {_decided(again)}, before {_decided(machine)}")
    _check_ends(whole)
    leases = machine._decisions._leases
    for held in leases.runs.values():
        if held.lease == "live" and not leases.is_here(held):
            raise Broken(f"{held.id} is held by {held.worker}, which is not there")
    if dict(again._bindings._subjects) != dict(machine._bindings._subjects):
        raise Broken("loaded again, the server knows other bindings")
    if again.content.roots != machine.content.roots:
        raise Broken("loaded again, the server knows other roots")
    _same(view(again.document), whole, "the server, loaded again,")


def _check_ends(whole: View) -> None:
    """A run that ended by itself ended by the word of its last attempt."""
    receipts, runs = whole.get("transcript/receipts", {}), whole.get("transcript/runs", {})
    for key, fact in receipts.items():
        if key.startswith("r:") and fact["lease"] == "ended" and "code" not in fact and "cancelled_by" not in fact:
            entry = runs.get(run_key(key[2:].rpartition(".")[0], int(fact["attempt"])), {})
            if entry.get("status") != fact["status"]:
                raise Broken(f"{key} says {fact}, and its attempt {entry}")


def _decided(machine: ServerMachine) -> object:
    decisions = machine._decisions
    runs = {
        run.id: (run.agent, run.lease, run.attempt, run.since, run.count, run.cancelled_by, run.resume)
        for run in decisions._leases.runs.values()
    }
    return runs, dict(decisions._decided), decisions.responsible


def _same(one: View, other: View, what: str) -> None:
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            raise Broken(f"{what} differs in {name}: {one.get(name)} and {other.get(name)}")


def _check_saved(node: ClientNode, server: ServerNode) -> None:
    """What was ever on a device's disk is on the server's, or was set aside."""
    for update, layer in node.disk.saved.items():
        if update in node.disk.set_aside:
            continue
        held = server.disk.vectors[layer]
        for client, end in ends_of(update).items():
            if held.get(client, 0) < end:
                raise Broken(f"{node.name} had saved what is lost: {layer} {client} up to {end}")
