"""Tokens: an answer that grows token by token, as the updates a client would push, made before anything is measured.

Knows nothing of sockets.
"""

from syncd.core.replica import Replica
from syncd.core.schema import NewMessage, Root
from syncd.core.transcript import PartWriter, put_message
from syncd.core.update import Kind

#: The last token of every answer: a reader that has it has all.
LAST = "\N{END OF PROOF}END"


def answer(tokens: int, *, client_id: int = 4_711, message: str = "answer", token: str = "tok ") -> list[bytes]:
    """Return the update that makes a message, and one for each of `tokens` tokens."""
    replica = Replica({Root.MESSAGES: Kind.MAP}, client_id=client_id)
    new = NewMessage(message, "assistant", {"kind": "agent", "name": "bench"}, (), (), 0)
    updates = [put_message(replica, new)]
    writer = PartWriter(replica, message)
    updates += [writer.append(token) for _ in range(tokens - 1)]
    updates.append(writer.append(LAST))
    return updates
