"""What a server machine's tests ask of its answers: codes, kinds, receipts, who is here."""

from syncd.core.limits import Limits
from syncd.core.messages import (
    Layer,
    PresenceChanged,
    Reject,
    ServerMessage,
    Update,
)
from syncd.core.replica import Replica
from syncd.core.schema import Root
from syncd.core.update import Kind
from tests.core.machines import Server


def opened(*peers: str, limits: Limits | None = None) -> Server:
    server = Server(limits)
    for peer in peers:
        server.attach(peer)
    server.turn()
    server.sent.clear()
    return server


def kinds(messages: list[ServerMessage]) -> list[str]:
    return [type(message).__name__ for message in messages if not isinstance(message, PresenceChanged)]


def codes(messages: list[ServerMessage]) -> list[str]:
    return [message.code for message in messages if isinstance(message, Reject)]


def catch(replica: Replica, messages: list[ServerMessage], layer: Layer = Layer.TRANSCRIPT) -> None:
    replica.apply([m.update for m in messages if isinstance(m, Update) and m.layer is layer])


def transcript() -> Replica:
    return Replica(dict.fromkeys(map(str, Root), Kind.MAP))


def receipts(server: Server) -> dict[str, dict[str, object]]:
    found = server.machine.document(Layer.TRANSCRIPT).replica.read(Root.RECEIPTS)
    assert isinstance(found, dict)
    return found


def here(messages: list[ServerMessage]) -> dict[str, object]:
    return {e.peer: e.state for m in messages if isinstance(m, PresenceChanged) for e in m.entries}
