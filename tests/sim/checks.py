"""Checks of a whole world: what holds at any time, and what holds when all faults have ended.

Looks at replicas as an app would. Knows nothing of actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from syncd.core.document import Document
from syncd.core.messages import LAYERS, Json, Layer
from syncd.core.replica import Replica
from syncd.core.schema import Root
from tests.sim.client import ClientNode, run
from tests.sim.disk import ends_of
from tests.sim.ledger import Broken, Ledger
from tests.sim.server import ServerNode


def anytime(server: ServerNode, clients: Iterable[ClientNode], ledger: Ledger) -> None:
    """No replica shows anything twice, out of order, forged or differently receipted; queues keep their bounds."""
    if server.machine is not None:
        documents = {layer: server.machine.document(layer) for layer in LAYERS}
        _check_view(documents, "the server", ledger, complete=True)
        assert len(server.machine._presence) <= server.machine.peers, "presence of somebody who is gone"
    for node in clients:
        documents = {layer: node.machine.document(layer) for layer in LAYERS}
        _check_view(documents, node.name, ledger, complete=False)
    for link in server.links.values():
        bound = 9 * server.limits.outbox_bytes_max + link.owed_bytes + server.limits.frame_bytes_max
        assert link.down_bytes <= bound, f"{link.down_bytes} bytes wait for {link.peer}"


def _check_view(documents: Mapping[Layer, Document], who: str, ledger: Ledger, *, complete: bool) -> None:
    transcript = documents[Layer.TRANSCRIPT].replica
    ledger.check_receipts(transcript.read(Root.RECEIPTS) or {}, who=who, complete=complete)
    ledger.check_messages(texts(transcript), who=who)
    items = documents[Layer.STATE].replica.read("items")
    ledger.check_items(items if isinstance(items, list) else [], who=who)


def texts(transcript: Replica) -> dict[str, str]:
    """Return the messages' texts by id."""
    found = {}
    messages: dict[str, Json] = transcript.read(Root.MESSAGES) or {}
    for id, message in messages.items():
        if isinstance(message, dict) and isinstance(parts := message.get("parts"), list):
            found[id] = "".join(part["text"] for part in parts if isinstance(part, dict) and "text" in part)
    return found


def finally_(server: ServerNode, clients: Iterable[ClientNode], ledger: Ledger) -> None:
    """All replicas are equal, all that was saved is there or set aside, and every disk loads to what is in memory."""
    clients = list(clients)
    anytime(server, clients, ledger)
    machine = server.machine
    assert machine is not None
    for layer in LAYERS:
        document = machine.document(layer)
        whole = document.replica
        for node in clients:
            if node.machine.document(layer).applied != document.applied:
                raise Broken(f"{node.name} has another {layer} than the server")
            _same(node.machine.document(layer).replica, whole, document, f"{node.name}'s {layer}")
        _same(server.load().document(layer).replica, whole, document, f"the server's {layer}, loaded again")
    _check_reload(server)
    for node in clients:
        again = run(node.copy.load(node.subject))
        for layer in LAYERS:
            what = f"{node.name}'s {layer}, loaded again"
            _same(again.document(layer).replica, machine.document(layer).replica, machine.document(layer), what)
        if again.seq != machine.seq or node.machine.seq != machine.seq:
            raise Broken(f"{node.name} counts {node.machine.seq}, on its disk {again.seq}, the server {machine.seq}")
        if sorted(node.machine.presence) != sorted(entry.peer for entry in machine._presence.entries()):
            raise Broken(f"{node.name} sees others than are here: {sorted(node.machine.presence)}")
        _check_saved(node, server)


def _check_reload(server: ServerNode) -> None:
    machine, again = server.machine, server.load()
    assert machine is not None
    if (again.version, again.seq) != (machine.version, machine.seq):
        raise Broken(f"loaded again, the server is at {again.version} and {again.seq}, was {machine.version}")
    if dict(again._bindings._subjects) != dict(machine._bindings._subjects):
        raise Broken("loaded again, the server knows other bindings")
    if again._roots != machine._roots:
        raise Broken("loaded again, the server knows other roots")


def _same(one: Replica, other: Replica, document: Document, what: str) -> None:
    for name in document.index.roots:
        if one.read(name) != other.read(name):
            raise Broken(f"{what} differs in {name}: {one.read(name)} and {other.read(name)}")


def _check_saved(node: ClientNode, server: ServerNode) -> None:
    """What was ever on a device's disk is on the server's, or was set aside."""
    for update, layer in node.disk.saved.items():
        if update in node.disk.set_aside:
            continue
        held = server.disk.vectors[layer]
        for client, end in ends_of(update).items():
            if held.get(client, 0) < end:
                raise Broken(f"{node.name} had saved what is lost: {layer} {client} up to {end}")
