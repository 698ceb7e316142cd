"""The shape rule: each way in which an update may not fit a document."""

import pytest

from syncd.core.errors import RejectCode
from syncd.core.index import ContainerIndex
from syncd.core.update import Content, Kind
from tests.core import yjs_bytes as yb
from tests.core.indexes import LIMITS, abc, accept, assert_refused, plan, state_index, transcript_index
from tests.core.traffic import TRANSCRIPT_ROOTS
from tests.core.yjs_bytes import ABC, TRUE, XYZ, deleted, gc, section, shared, text, update, values

# 4. References.


def test_gap() -> None:
    """Clocks follow those that are known."""
    assert_refused(state_index(), abc(text("x"), clock=1), RejectCode.GAP)
    assert_refused(state_index(abc(text("abc"))), abc(text("x", origin=(ABC, 2)), clock=4), RejectCode.GAP)


@pytest.mark.parametrize("ref", [(XYZ, 0), (ABC, 0), (ABC, 1), (ABC, 7)], ids=str)
def test_unknown_references(ref: tuple[int, int]) -> None:
    """No origin or parent is unknown, the struct itself, or later in the same section."""
    for struct in (
        text("x", origin=ref),
        text("x", right=ref),
        text("x", parent=ref),
    ):
        assert_refused(state_index(), abc(struct, gc(1)), RejectCode.UNKNOWN_REFERENCE)


def test_references_in_a_circle() -> None:
    """Two clients' structs cannot each wait for the other's, nor three."""
    assert_refused(
        state_index(),
        update(section(ABC, 0, text("x", origin=(XYZ, 0))), section(XYZ, 0, text("x", origin=(ABC, 0)))),
        RejectCode.UNKNOWN_REFERENCE,
    )
    assert_refused(
        state_index(),
        update(*(section(client, 0, text("x", origin=((client + 1) % 3, 0))) for client in range(3))),
        RejectCode.UNKNOWN_REFERENCE,
    )


def test_own_later_clock_in_an_overlap() -> None:
    """A struct that is partly known cannot refer to what it holds itself."""
    index = state_index(abc(text("0123")))
    assert_refused(index, abc(text("012345", origin=(ABC, 2))), RejectCode.UNKNOWN_REFERENCE)


def test_references_across_sections_take_linear_time() -> None:
    """A thousand clients that wait for each other at every struct are planned struct by struct."""
    count, each = 500, 10
    sections = []
    for client in range(count):
        # Each struct waits for the next client's struct of the same clock: nothing is ready but the last client's.
        last = client == count - 1
        structs = [text("x") if last else text("x", origin=(client + 1, clock)) for clock in range(each)]
        sections.append(section(client, 0, *structs))

    assert len(plan(state_index(), update(*sections)).ends) == count


def test_deletion_beyond_what_is_known() -> None:
    """Only what is known, or comes along, is deleted."""
    index = state_index(abc(text("abc")))
    assert_refused(index, update(deletes={ABC: [(2, 2)]}), RejectCode.UNKNOWN_REFERENCE)
    assert_refused(index, update(deletes={XYZ: [(0, 1)]}), RejectCode.UNKNOWN_REFERENCE)
    plan(index, abc(text("d", origin=(ABC, 2)), clock=3, deletes={ABC: [(2, 2)]}))


def test_overlap_that_disagrees() -> None:
    """What is known already cannot be moved elsewhere, revived or given another key."""
    for known, claimed in (
        (text("0123"), text("01234", parent="u")),
        (gc(4), text("01234")),
        (deleted(2, parent="m", key="k"), deleted(3, parent="m", key="l")),
        (deleted(2, parent="m", key="k"), deleted(3, parent="n", key="k")),
    ):
        assert_refused(state_index(abc(known)), abc(claimed), RejectCode.OVERLAP)


def test_what_known_structs_refer_to_counts() -> None:
    """A struct that is known as a whole has to agree too: Yjs waits for what it refers to, and cuts text there."""
    index = state_index(abc(text("a😀b"), text("c", parent="u")))
    for origin, code in (
        ((XYZ, 0), RejectCode.UNKNOWN_REFERENCE),
        ((ABC, 4), RejectCode.UNKNOWN_REFERENCE),
        ((ABC, 3), RejectCode.OVERLAP),
        ((ABC, 1), RejectCode.SPLIT_SURROGATE),
    ):
        assert_refused(index, abc(text("c", origin=origin), clock=4), code)
    assert_refused(index, abc(text("a"), gc(1), text("c", parent="v"), clock=2), RejectCode.OVERLAP)
    assert plan(index, abc(text("c", parent="u"), clock=4)).empty


# 5. Containers.


def test_origins_in_two_containers() -> None:
    """Both origins lie in one container, and under one key."""
    index = state_index(
        abc(text("ab"), values(TRUE, TRUE), values(TRUE, parent="m", key="k"), values(TRUE, parent="m", key="l"), gc(1))
    )
    for origin, right in (((ABC, 0), (ABC, 2)), ((ABC, 4), (ABC, 5)), ((ABC, 0), (ABC, 6)), ((ABC, 6), (ABC, 0))):
        struct = text("x", origin=origin, right=right)
        assert_refused(index, update(section(XYZ, 0, struct)), RejectCode.WRONG_CONTENT)


def test_parent_is_a_type() -> None:
    """Text, values and what was a text once cannot hold anything."""
    index = state_index(abc(text("ab"), values(TRUE)), update(deletes={ABC: [(0, 1)]}))
    for clock in range(3):
        assert_refused(index, update(section(XYZ, 0, text("x", parent=(ABC, clock)))), RejectCode.WRONG_CONTENT)


def test_content_of_what_is_gone_is_dead() -> None:
    """What refers to a GC struct, or lies in what arrived deleted, is dead: known by its clocks alone."""
    index = state_index(abc(gc(2), deleted(1)))
    made = accept(
        index,
        update(
            section(
                XYZ,
                0,
                text("a", origin=(ABC, 1)),
                text("b", parent=(ABC, 0)),
                shared(Kind.MAP, parent=(ABC, 2)),
                values(TRUE, parent=(XYZ, 2), key="k"),
                text("c", origin=(XYZ, 0), right=(ABC, 0)),
            )
        ),
    )

    assert made.ends == {XYZ: 5}
    assert made.inserts == []
    assert made.touched(index) == []
    assert plan(index, update(deletes={XYZ: [(0, 5)]})).empty
    assert index.entry_of((XYZ, 2), "k") is None


FITTING = {
    Kind.ARRAY: ({"any", "binary", "type"}, set()),
    Kind.MAP: (set(), {"any", "binary", "type"}),
    Kind.TEXT: ({"string", "format", "embed", "type"}, set()),
    Kind.XML_ELEMENT: ({"xml"}, {"any", "binary", "type"}),
    Kind.XML_FRAGMENT: ({"xml"}, set()),
    Kind.XML_TEXT: ({"string", "format", "embed", "type"}, {"any", "binary", "type"}),
}
BODIES = {
    "any": (Content.ANY, b"\x01\x78"),
    "binary": (Content.BINARY, b"\x01x"),
    "string": (Content.STRING, b"\x01x"),
    "format": (Content.FORMAT, b"\x01b\x04true"),
    "embed": (Content.EMBED, b"\x011"),
    "type": (Content.TYPE, b"\x01"),
    "xml": (Content.TYPE, b"\x03\x01p"),
    "deleted": (Content.DELETED, b"\x03"),
}


@pytest.mark.parametrize("keyed", [False, True], ids=["unkeyed", "keyed"])
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("kind", Kind)
def test_content_fits_its_container(kind: Kind, body: str, keyed: bool) -> None:
    """A container holds what its kind is for, and nothing else; what is deleted may lie in any place there is."""
    index = state_index(abc(shared(kind, parent="m", key="k")))
    content, raw = BODIES[body]
    data = update(section(XYZ, 0, yb.item(content, raw, parent=(ABC, 0), key="k" if keyed else None)))
    allowed = FITTING[kind][keyed]

    if body in allowed or (body == "xml" and "type" in allowed) or (body == "deleted" and allowed):
        accept(index, data)
    else:
        assert_refused(index, data, RejectCode.WRONG_CONTENT)


def test_content_behind_an_origin_fits_too() -> None:
    """Text behind an array's element is refused, though it names no array."""
    index = state_index(abc(values(TRUE)))
    assert_refused(index, update(section(XYZ, 0, text("x", origin=(ABC, 0)))), RejectCode.WRONG_CONTENT)


def test_one_value_under_a_key() -> None:
    """Under a key there is a single value."""
    assert_refused(state_index(), abc(values(TRUE, TRUE, parent="m", key="k")), RejectCode.WRONG_CONTENT)


def test_state_depth_max() -> None:
    """Shared types nest as deep as the layer allows."""
    assert_depth(state_index(), LIMITS.state_depth_max, "m")


def test_transcript_depth_max() -> None:
    """Shared types nest as deep as the layer allows."""
    assert_depth(transcript_index(), LIMITS.transcript_depth_max, "messages")


def assert_depth(index: ContainerIndex, most: int, root: str) -> None:
    chain = [shared(Kind.MAP, parent=root, key="k")]
    chain += [shared(Kind.MAP, parent=(ABC, clock), key="k") for clock in range(LIMITS.update_structs_max - 1)]
    plan(index, abc(*chain[:most]))
    assert_refused(index, abc(*chain[: most + 1]), RejectCode.TOO_DEEP)
    assert_refused(index, abc(*chain), RejectCode.TOO_DEEP)
    accept(index, abc(*chain[:most]))
    assert_refused(index, abc(chain[most], clock=most), RejectCode.TOO_DEEP)


# 6. Roots.


@pytest.mark.parametrize(
    ("struct", "kind"),
    [
        (text("x", parent="r"), Kind.TEXT),
        (yb.item(Content.FORMAT, b"\x01b\x04true", parent="r"), Kind.TEXT),
        (yb.item(Content.EMBED, b"\x011", parent="r"), Kind.TEXT),
        (values(TRUE, parent="r"), Kind.ARRAY),
        (yb.item(Content.BINARY, b"\x01x", parent="r"), Kind.ARRAY),
        (shared(Kind.MAP, parent="r"), Kind.ARRAY),
        (shared(Kind.XML_ELEMENT, parent="r"), Kind.XML_FRAGMENT),
        (shared(Kind.XML_TEXT, parent="r"), Kind.XML_FRAGMENT),
        (values(TRUE, parent="r", key="k"), Kind.MAP),
        (deleted(2, parent="r", key="k"), Kind.MAP),
    ],
)
def test_first_content_shows_a_roots_kind(struct: bytes, kind: Kind) -> None:
    """A root of the state layer is what its first content fits; then it stays so."""
    index = state_index(roots={})
    made = accept(index, abc(struct))

    assert made.new_roots == {"r": kind}
    assert index.roots == {"r": kind}
    other = values(TRUE, parent="r") if kind is not Kind.ARRAY else text("x", parent="r")
    assert_refused(index, update(section(XYZ, 0, other)), RejectCode.WRONG_CONTENT)


def test_kind_from_the_rest_of_an_update() -> None:
    """Nested types alone may lie in an array or a text: the other content of the same update decides."""
    index = state_index(roots={})
    plain, xml = shared(Kind.MAP, parent="r"), shared(Kind.XML_TEXT, parent="r")
    for structs, kind in (
        ((plain, text("x", parent="r")), Kind.TEXT),
        ((xml, text("x", parent="r")), Kind.TEXT),
        ((xml, plain), Kind.ARRAY),
        ((plain, xml), Kind.ARRAY),
        ((xml, values(TRUE, parent="r")), Kind.ARRAY),
    ):
        assert plan(index, abc(*structs)).new_roots == {"r": kind}
    for refused in (
        (plain, values(TRUE, parent="r", key="k")),
        (text("x", parent="r"), values(TRUE, parent="r")),
        (xml, text("x", parent="r"), values(TRUE, parent="r")),
    ):
        assert_refused(index, abc(*refused), RejectCode.WRONG_CONTENT)


def test_deleted_content_shows_no_kind() -> None:
    """A root with nothing but deleted content takes its kind from what comes next."""
    index = state_index(abc(deleted(2, parent="r")), roots={})
    assert index.roots == {}

    assert_refused(index, abc(values(TRUE, parent="r", key="k"), clock=2), RejectCode.WRONG_CONTENT)
    accept(index, abc(text("x", origin=(ABC, 1)), clock=2))
    assert index.roots == {"r": Kind.TEXT}


def test_known_roots_keep_their_kinds() -> None:
    """A kind from the configuration stands against the first content."""
    assert_refused(
        state_index(roots={"r": Kind.XML_FRAGMENT}), abc(shared(Kind.MAP, parent="r")), RejectCode.WRONG_CONTENT
    )


def test_a_root_of_the_state_named_proto() -> None:
    """A reader in JavaScript could not open the session any more: its msgpack refuses the key."""
    assert_refused(state_index(), abc(values(TRUE, parent="__proto__")), RejectCode.WRONG_ROOT)


def test_state_roots_max() -> None:
    """There are no more roots than the limit, those without a kind included."""
    names = [f"r{number}" for number in range(LIMITS.state_roots_max + 1)]
    index = state_index(abc(*(deleted(1, parent=name) for name in names[:100])), roots={})
    structs = [text("x", parent=name) for name in names]
    assert_refused(index, abc(*structs, clock=100), RejectCode.WRONG_ROOT)
    accept(index, abc(*structs[:-1], clock=100))
    assert_refused(index, update(section(XYZ, 0, structs[-1])), RejectCode.WRONG_ROOT)


def test_transcript_roots_are_fixed() -> None:
    """The transcript has its five roots, all maps, known from the start."""
    index = transcript_index()
    assert index.roots == dict.fromkeys(TRANSCRIPT_ROOTS, Kind.MAP)
    assert_refused(index, abc(values(TRUE, parent="evil", key="k")), RejectCode.WRONG_ROOT)
    for root in TRANSCRIPT_ROOTS:
        assert_refused(index, abc(deleted(1, parent=root)), RejectCode.WRONG_CONTENT)
        accept(transcript_index(), abc(deleted(1, parent=root, key="k")))


@pytest.mark.parametrize("root", TRANSCRIPT_ROOTS)
def test_transcript_entries_have_one_kind(root: str) -> None:
    """Messages and runs are maps, all other entries are one value, first written or overwritten."""
    right = shared(Kind.MAP, parent=root, key="k")
    wrong = [values(TRUE, parent=root, key="k"), shared(Kind.TEXT, parent=root, key="k")]
    if root not in ("messages", "runs"):
        right, wrong = wrong[0], [right, wrong[1]]
    for struct in wrong:
        assert_refused(transcript_index(), abc(struct), RejectCode.WRONG_CONTENT)
    index = transcript_index(abc(right))
    overwrite = values(TRUE, origin=(ABC, 0)) if root in ("messages", "runs") else shared(Kind.MAP, origin=(ABC, 0))
    assert_refused(index, abc(overwrite, clock=1), RejectCode.WRONG_CONTENT)


def test_no_xml_in_the_transcript() -> None:
    """The transcript's types are maps, arrays and texts."""
    index = transcript_index(abc(shared(Kind.MAP, parent="messages", key="k")))
    for kind in (Kind.XML_ELEMENT, Kind.XML_FRAGMENT, Kind.XML_TEXT):
        assert_refused(index, abc(shared(kind, parent=(ABC, 0), key="k"), clock=1), RejectCode.WRONG_CONTENT)


def test_no_right_origins_in_the_transcript() -> None:
    """A right origin is what makes a live document differ from its reloaded self."""
    index = transcript_index(
        abc(
            shared(Kind.MAP, parent="messages", key="k"),
            shared(Kind.TEXT, parent=(ABC, 0), key="t"),
            text("ab", parent=(ABC, 1)),
        )
    )
    assert_refused(index, abc(text("x", right=(ABC, 2)), clock=4), RejectCode.RIGHT_ORIGIN)
    assert_refused(index, abc(text("x", origin=(ABC, 2), right=(ABC, 3)), clock=4), RejectCode.RIGHT_ORIGIN)


# 7. Surrogate pairs.


def test_nothing_inside_a_surrogate_pair() -> None:
    """No origin, deletion or overlap falls into the middle of a character, known before or new."""
    index = state_index(abc(text("a😀b")))
    for structs, deletes in (
        ([text("x", origin=(ABC, 1))], None),
        ([text("x", right=(ABC, 2))], None),
        ([], {ABC: [(2, 2)]}),
        ([], {ABC: [(0, 2)]}),
        ([text("😀"), text("x", origin=(XYZ, 0))], None),
        ([text("😀")], {XYZ: [(0, 1)]}),
    ):
        sections = [section(XYZ, 0, *structs)] if structs else []
        assert_refused(index, update(*sections, deletes=deletes), RejectCode.SPLIT_SURROGATE)
    assert_refused(state_index(abc(text("ab"))), abc(text("a😀")), RejectCode.SPLIT_SURROGATE)
    plan(index, update(section(XYZ, 0, text("x", origin=(ABC, 0), right=(ABC, 1))), deletes={ABC: [(1, 2)]}))
    plan(index, update(section(XYZ, 0, text("x", origin=(ABC, 2), right=(ABC, 3)))))


def test_pairs_that_overlap_what_is_known_are_not_believed() -> None:
    """Only new clocks say where pairs are: a known text cannot be given some afterwards."""
    index = state_index(abc(text("abcd")))
    accept(index, abc(text("😀cd!")))
    plan(index, update(section(XYZ, 0, text("x", origin=(ABC, 0)))))
