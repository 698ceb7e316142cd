"""The author rule: everybody writes, refers to and deletes nothing but their own; each forgery is refused."""

from collections.abc import Mapping
from typing import Any

import pytest
from pycrdt import Array, Doc, Map, Text

from syncd.core.author import ROOT_RIGHTS, check_bytes, check_plan
from syncd.core.bindings import Bindings
from syncd.core.errors import RejectCode, Rejected
from syncd.core.grant import ALL_RIGHTS, Right
from syncd.core.index import ContainerIndex, transcript_shape
from syncd.core.limits import Limits
from syncd.core.messages import Layer
from syncd.core.update import Kind, decode_update, encode_map_entries
from tests.core.traffic import state_traffic, transcript_traffic
from tests.core.yjs_bytes import ABC, TRUE, XYZ, deleted, gc, section, shared, text, update, values

LIMITS = Limits()
MONA = "user:mona"
EVE = "user:eve"
SERVER = "server:"


class Transcript:
    """A transcript under both halves of the rule. `ABC` is Mona's; Eve writes under `XYZ`."""

    def __init__(self) -> None:
        self.bindings = Bindings(ids_max=100)
        self.index = ContainerIndex(transcript_shape(LIMITS))

    def push(self, subject: str, data: bytes, rights: frozenset[Right] = ALL_RIGHTS) -> list[int]:
        decoded = decode_update(data, LIMITS)
        free = check_bytes(Layer.TRANSCRIPT, decoded, subject=subject, bindings=self.bindings)
        plan = self.index.plan(decoded)
        check_plan(plan, self.index, subject=subject, bindings=self.bindings, rights=rights)
        self.index.commit(plan)
        self.bindings.bind(subject, free)
        return free

    def assert_refused(
        self, subject: str, data: bytes, code: RejectCode, rights: frozenset[Right] = ALL_RIGHTS
    ) -> None:
        bound, state = len(self.bindings), dict(self.index.state)
        with pytest.raises(Rejected) as caught:
            self.push(subject, data, rights)

        assert caught.value.code is code, caught.value
        assert (len(self.bindings), self.index.state) == (bound, state)


@pytest.fixture
def transcript() -> Transcript:
    """Mona's message `m1` with a text, a command, a read mark, and the server's receipt."""
    made = Transcript()
    made.push(
        MONA,
        mona(
            0,
            shared(Kind.MAP, parent="messages", key="m1"),
            shared(Kind.TEXT, parent=(ABC, 0), key="text"),
            text("hello", parent=(ABC, 1)),
            values(TRUE, parent="commands", key="c1"),
            values(TRUE, parent="reads", key=MONA),
        ),
    )
    made.bindings.bind(SERVER, [9])
    made.index.commit(made.index.plan(decode_update(encode_map_entries(9, 0, "receipts", [("m:m1", 1)]), LIMITS)))
    return made


def mona(clock: int, *structs: bytes, deletes: Mapping[int, list[tuple[int, int]]] | None = None) -> bytes:
    return update(section(ABC, clock, *structs), deletes=deletes)


def eve(*structs: bytes, deletes: Mapping[int, list[tuple[int, int]]] | None = None) -> bytes:
    return update(section(XYZ, 0, *structs), deletes=deletes)


def message(key: str = "m2") -> bytes:
    return shared(Kind.MAP, parent="messages", key=key)


@pytest.mark.parametrize("seed", range(6))
def test_honest_traffic_is_accepted(seed: int) -> None:
    """What four peers write with pycrdt in the schema passes both halves, each under its own subject."""
    made = Transcript()
    log, ids = transcript_traffic(seed)
    for sent in log:
        made.push(sent.subject, sent.update)

    assert {made.bindings.owner(client_id): client_id for client_id in ids.values()} == ids


def test_honest_state_is_accepted() -> None:
    """In the state layer only the ids of new structs count: everybody refers to and deletes everybody's content."""
    log, ids = state_traffic(1)
    bindings = Bindings(ids_max=10)
    for sent in log:
        free = check_bytes(Layer.STATE, decode_update(sent.update, LIMITS), subject=sent.subject, bindings=bindings)
        bindings.bind(sent.subject, free)

    assert {bindings.owner(client_id): client_id for client_id in ids.values()} == ids


def test_new_client_ids_are_to_be_bound(transcript: Transcript) -> None:
    """Ids that are free are returned, those that are bound are not."""
    sections = section(XYZ, 0, message("a")), section(33, 0, message("b"))
    assert transcript.push(EVE, update(*sections)) == [XYZ, 33]
    assert transcript.push(EVE, update(section(XYZ, 1, message("c")))) == []


@pytest.mark.parametrize("layer", Layer)
def test_foreign_client_id(layer: Layer, transcript: Transcript) -> None:
    """Nobody writes under an id that is bound to somebody else, in either layer."""
    decoded = decode_update(mona(9, message()), LIMITS)
    with pytest.raises(Rejected, match="foreign_client_id"):
        check_bytes(layer, decoded, subject=EVE, bindings=transcript.bindings)


def test_own_structs_relayed_with_foreign_ones(transcript: Transcript) -> None:
    """Somebody else's new structs cannot ride along with one's own."""
    both = update(section(XYZ, 0, message()), section(ABC, 9, message("m3")))
    transcript.assert_refused(EVE, both, RejectCode.FOREIGN_CLIENT_ID)


@pytest.mark.parametrize(
    "struct",
    [
        text("x", origin=(ABC, 6)),
        text("x", parent=(ABC, 1)),
        values(TRUE, parent=(ABC, 0), key="forged"),
        values(TRUE, origin=(ABC, 1)),
        shared(Kind.MAP, origin=(ABC, 0)),
        deleted(1, origin=(ABC, 6)),
        values(TRUE, origin=(9, 0)),
        text("x", origin=(44, 0)),
        text("x", parent=(44, 0)),
    ],
    ids=["append", "insert", "new field", "overwrite", "message", "deleted", "receipt", "unbound", "unbound parent"],
)
def test_foreign_reference(struct: bytes, transcript: Transcript) -> None:
    """No struct refers to what another subject wrote, or to an id that is nobody's."""
    transcript.assert_refused(EVE, eve(struct), RejectCode.FOREIGN_REFERENCE)


def test_foreign_deletion(transcript: Transcript) -> None:
    """Nobody deletes somebody else's content, not even what is deleted already."""
    transcript.assert_refused(EVE, update(deletes={ABC: [(2, 1)]}), RejectCode.FOREIGN_REFERENCE)
    transcript.push(MONA, update(deletes={ABC: [(2, 1)]}))
    transcript.assert_refused(EVE, update(deletes={ABC: [(2, 1)]}), RejectCode.FOREIGN_REFERENCE)
    transcript.assert_refused(EVE, eve(message(), deletes={ABC: [(2, 1)]}), RejectCode.FOREIGN_REFERENCE)
    transcript.assert_refused(EVE, update(deletes={44: [(0, 1)]}), RejectCode.FOREIGN_REFERENCE)


def test_planned_deletions_are_the_subjects_own(transcript: Transcript) -> None:
    """The second half does not rely on the first one for deletions."""
    plan = transcript.index.plan(decode_update(update(deletes={ABC: [(2, 1)]}), LIMITS))
    transcript.index.entries["messages"].clear()
    with pytest.raises(Rejected, match="foreign_reference"):
        check_plan(plan, transcript.index, subject=EVE, bindings=transcript.bindings, rights=ALL_RIGHTS)


def test_own_ids_may_refer_to_each_other(transcript: Transcript) -> None:
    """A subject's ids, bound or brought along, are one author."""
    transcript.push(MONA, update(section(77, 0, text("x", origin=(ABC, 6))), deletes={ABC: [(2, 1)]}))
    transcript.push(
        EVE,
        update(
            section(31, 0, text("x", parent=(30, 1))),
            section(30, 0, message(), shared(Kind.TEXT, parent=(30, 0), key="t")),
        ),
    )


@pytest.mark.parametrize("root", ["messages", "runs", "commands"])
def test_foreign_entry(root: str, transcript: Transcript) -> None:
    """An id that somebody wrote first is theirs, overwritten or deleted as it may be."""
    content = values(TRUE, parent=root, key="k") if root == "commands" else shared(Kind.MAP, parent=root, key="k")
    transcript.push(MONA, mona(9, content))
    transcript.assert_refused(EVE, eve(content), RejectCode.FOREIGN_ENTRY)
    if root != "commands":
        transcript.push(MONA, update(deletes={ABC: [(9, 1)]}))
        transcript.assert_refused(EVE, eve(content), RejectCode.FOREIGN_ENTRY)


def test_reads_are_ones_own(transcript: Transcript) -> None:
    """A read mark's key is the subject itself."""
    transcript.assert_refused(EVE, eve(values(TRUE, parent="reads", key=MONA)), RejectCode.FOREIGN_ENTRY)
    transcript.assert_refused(EVE, eve(values(TRUE, parent="reads", key="user:zoe")), RejectCode.FOREIGN_ENTRY)
    transcript.push(EVE, eve(values(TRUE, parent="reads", key=EVE)))
    transcript.push(EVE, update(section(XYZ, 1, values(TRUE, origin=(XYZ, 0))), deletes={XYZ: [(0, 1)]}))


@pytest.mark.parametrize(
    "data",
    [
        mona(9, values(TRUE, origin=(ABC, 7))),
        mona(9, values(TRUE, parent="commands", key="c1")),
        mona(9, values(TRUE, origin=(ABC, 7)), deletes={ABC: [(7, 1)]}),
        update(deletes={ABC: [(7, 1)]}),
        mona(9, values(TRUE, parent="commands", key="c2"), deletes={ABC: [(9, 1)]}),
        mona(9, values(TRUE, parent="commands", key="c2"), values(TRUE, origin=(ABC, 9))),
        mona(9, values(TRUE, parent="commands", key="c2"), values(TRUE, parent="commands", key="c2")),
    ],
    ids=["overwrite", "write again", "overwrite and delete", "delete", "at once", "overwrite at once", "twice at once"],
)
def test_commands_are_immutable(data: bytes, transcript: Transcript) -> None:
    """A command is written once, and not even its author changes or deletes it."""
    transcript.assert_refused(MONA, data, RejectCode.IMMUTABLE)


def test_receipts_are_the_servers(transcript: Transcript) -> None:
    """Nobody else writes a receipt."""
    transcript.assert_refused(EVE, eve(values(TRUE, parent="receipts", key="m:m2")), RejectCode.SERVER_ONLY)
    decoded = decode_update(eve(values(TRUE, parent="receipts", key="m:m2")), LIMITS)
    with pytest.raises(Rejected, match="server_only"):
        check_plan(
            transcript.index.plan(decoded),
            transcript.index,
            subject=EVE,
            bindings=transcript.bindings,
            rights=ALL_RIGHTS,
        )


@pytest.mark.parametrize(
    ("struct", "code"),
    [
        (values(TRUE, parent="evil", key="k"), RejectCode.WRONG_ROOT),
        (values(TRUE, parent="commands"), RejectCode.WRONG_CONTENT),
        (deleted(1, parent="messages"), RejectCode.WRONG_CONTENT),
    ],
    ids=["unknown root", "no key", "deleted without a key"],
)
def test_unknown_roots_and_entries_without_keys(struct: bytes, code: RejectCode) -> None:
    """The transcript has no other roots, and no content in a root but under a key; its bytes alone show it."""
    with pytest.raises(Rejected) as caught:
        check_bytes(Layer.TRANSCRIPT, decode_update(eve(struct), LIMITS), subject=EVE, bindings=Bindings(ids_max=1))

    assert caught.value.code is code


def test_right_origins(transcript: Transcript) -> None:
    """Right origins are refused before the index is asked."""
    for struct in (text("x", right=(ABC, 2)), text("x", origin=(ABC, 2), right=(ABC, 3))):
        decoded = decode_update(mona(9, struct), LIMITS)
        with pytest.raises(Rejected, match="right_origin"):
            check_bytes(Layer.TRANSCRIPT, decoded, subject=MONA, bindings=transcript.bindings)


@pytest.mark.parametrize("key", ["", "a b", "../x", "a" * 65, "user:mona", "é"])
@pytest.mark.parametrize("root", ["messages", "runs", "commands"])
def test_keys_are_ids(root: str, key: str, transcript: Transcript) -> None:
    """Messages, runs and commands have well-formed ids."""
    struct = values(TRUE, parent=root, key=key) if root == "commands" else shared(Kind.MAP, parent=root, key=key)
    transcript.assert_refused(EVE, eve(struct), RejectCode.WRONG_CONTENT)


@pytest.mark.parametrize("root", ROOT_RIGHTS)
def test_rights(root: str, transcript: Transcript) -> None:
    """Each root needs its right, for new entries as for changes in old ones."""
    struct = values(TRUE, parent=root, key=EVE if root == "reads" else "k")
    if root in ("messages", "runs"):
        struct = shared(Kind.MAP, parent=root, key="k")
    transcript.assert_refused(EVE, eve(struct), RejectCode.FORBIDDEN, ALL_RIGHTS - {ROOT_RIGHTS[root]})
    transcript.push(EVE, eve(struct), frozenset({ROOT_RIGHTS[root]}))
    transcript.assert_refused(EVE, update(deletes={XYZ: [(0, 1)]}), RejectCode.FORBIDDEN, frozenset())


def test_content_that_is_dead_needs_no_entry(transcript: Transcript) -> None:
    """GC structs and what refers to them touch no entry; the client id counts all the same."""
    transcript.push(EVE, eve(gc(1), text("x", origin=(XYZ, 0))), frozenset())
    transcript.assert_refused(MONA, update(section(XYZ, 2, gc(1))), RejectCode.FOREIGN_CLIENT_ID)


def test_session_full(transcript: Transcript) -> None:
    """An update that would bind more ids than the session may have is refused."""
    transcript.bindings = Bindings(ids_max=0)
    transcript.assert_refused(EVE, eve(message()), RejectCode.SESSION_FULL)


def test_forgeries_with_pycrdt(transcript: Transcript) -> None:
    """What Eve can do with a replica of Mona's message and pycrdt's own API is refused."""
    source: Doc[Any] = Doc(client_id=ABC + 100)
    source["messages"] = Map({"m1": Map({"parts": Array([Map({"text": Text("hello")})])})})
    made = Transcript()
    made.push(MONA, source.get_update())

    def attempt(code: RejectCode, edit: str) -> None:
        doc: Doc[Any] = Doc(client_id=XYZ + 100)
        messages = doc.get("messages", type=Map)
        doc.apply_update(source.get_update())
        before = doc.get_state()
        parts = messages["m1"]["parts"]
        if edit == "append":
            streamed = parts[0]["text"]
            streamed += "!"
        elif edit == "delete":
            del messages["m1"]
        elif edit == "cut":
            del parts[0]["text"][1:2]
        elif edit == "add":
            parts.append(Map())
        elif edit == "replace":
            messages["m1"] = Map()
        made.assert_refused(EVE, doc.get_update(before), code)

    for edit in ("append", "delete", "cut", "add", "replace"):
        attempt(RejectCode.FOREIGN_REFERENCE, edit)
    fresh: Doc[Any] = Doc(client_id=XYZ + 100)
    fresh["messages"] = Map({"m1": Map()})
    made.assert_refused(EVE, fresh.get_update(), RejectCode.FOREIGN_ENTRY)
