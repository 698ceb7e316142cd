"""The updates that are written by hand are those that a client would have pushed."""

from benchmarks.tokens import TOKEN, Answer, Document, Script
from syncd.core.limits import Limits
from syncd.core.replica import Replica
from syncd.core.schema import Root
from syncd.core.update import Kind, decode_update
from syncd.core.varint import decode_state_vector


def read(updates: list[bytes]) -> tuple[object, dict[int, int]]:
    replica = Replica({Root.MESSAGES: Kind.MAP})
    replica.apply(updates)
    return replica.read(Root.MESSAGES, "answer", "parts", 0, "text"), replica.vector()


def test_tokens_make_the_text() -> None:
    """One by one and many in one update, each a struct of its own, by one client id or by two in turn."""
    for client_ids in ((7,), (3_141_592_653, 5)):
        answer = Answer(client_ids)
        updates = [*answer.head, *(answer.tokens() for _ in range(300)), answer.tokens(50)]

        text, vector = read(updates)

        assert text == TOKEN * 351
        assert vector == decode_state_vector(answer.vector, clients_max=2)
        assert decode_update(updates[-1], Limits()).structs == 50


def test_a_script_can_be_read_from_anywhere() -> None:
    """Its frames are numbered from one and made once."""
    script = Script(lambda number, update: b"%d:" % number + update)

    late = script.frames(100, 102)

    assert [frame.partition(b":")[0] for frame in script.frames(0, 3) + late] == [b"1", b"2", b"3", b"101", b"102"]
    assert script.frames(100, 102) == late


def test_a_document_and_its_halves() -> None:
    """Of the size that was asked for; a reader with the half vector lacks about half of it."""
    document = Document(40_000)
    replica = Replica({Root.MESSAGES: Kind.MAP})
    replica.apply(document.updates)

    missing = {name: len(replica.diff(vector)) for name, vector in document.vectors.items()}

    assert abs(document.bytes - 40_000) < 3_000
    assert document.tokens == str(read(document.updates)[0]).count(TOKEN)
    assert 0.45 < missing["half"] / missing["empty"] < 0.6
    assert missing["up to date"] == 2
