"""The decoder of Yjs updates: each way to be malformed, each bound, and the updates the server writes."""

import random
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from pycrdt import Array, Doc, Map

from syncd.core.errors import LocalProtocolError, RejectCode, Rejected
from syncd.core.limits import Limits
from syncd.core.update import (
    EMPTY_UPDATE,
    Content,
    DecodedUpdate,
    Kind,
    decode_update,
    encode_map_entries,
    encode_prefix,
)
from tests.core import yjs_bytes as yb
from tests.core.traffic import state_traffic, transcript_traffic
from tests.core.yjs_bytes import ABC, XYZ, deleted, gc, section, shared, text, update, values

LIMITS = Limits()
DEEP = (1_000, 30_000, 500_000)


def decode(data: bytes) -> DecodedUpdate:
    return decode_update(data, LIMITS)


def assert_refused(data: bytes, code: RejectCode, *, limits: Limits = LIMITS) -> None:
    """Refused with `code`, and quickly: nothing may be done per announced item."""
    begin = time.thread_time()
    with pytest.raises(Rejected) as caught:
        decode_update(data, limits)

    assert caught.value.code is code, caught.value
    assert time.thread_time() - begin < 0.5


def one(struct: bytes, clock: int = 0) -> bytes:
    return update(section(ABC, clock, struct))


def test_fields_of_every_struct() -> None:
    """A struct is told with its clock, length, content, origins, parent, key and kind."""
    decoded = decode(
        update(
            section(
                ABC,
                7,
                text("héllo"),
                text("x", origin=(ABC, 11), right=(XYZ, 1)),
                values(yb.TRUE, yb.NULL, parent=(XYZ, 0)),
                shared(Kind.XML_ELEMENT, parent="m", key="k"),
                deleted(3, right=(ABC, 7)),
                gc(4),
            ),
            deletes={XYZ: [(1, 2), (3, 4)], ABC: [(0, 1)]},
        )
    )

    assert decoded.sections == {
        ABC: [
            (7, 5, Content.STRING, None, None, "t", None, None),
            (12, 1, Content.STRING, (ABC, 11), (XYZ, 1), None, None, None),
            (13, 2, Content.ANY, None, None, (XYZ, 0), None, None),
            (15, 1, Content.TYPE, None, None, "m", "k", Kind.XML_ELEMENT),
            (16, 3, Content.DELETED, None, (ABC, 7), None, None, None),
            (19, 4, Content.GC, None, None, None, None, None),
        ]
    }
    assert decoded.deletes == [(XYZ, 1, 3), (XYZ, 3, 7), (ABC, 0, 1)]
    assert decoded.structs == 6


def test_strings_count_utf16_units() -> None:
    """A character beyond U+FFFF takes two clocks, and the second one is told."""
    decoded = decode(one(text("a😀漢😀"), clock=10))

    assert decoded.sections[ABC][0][1] == 6
    assert decoded.low_surrogates == {ABC: array("I", [12, 15])}


def test_empty_update() -> None:
    """The empty update decodes to nothing."""
    assert decode(EMPTY_UPDATE) == DecodedUpdate()


@pytest.mark.parametrize("seed", range(4))
def test_honest_traffic_decodes(seed: int) -> None:
    """What pycrdt writes in either layer, undo, embeds and garbage collection included, is well-formed."""
    for traffic in (transcript_traffic, state_traffic):
        log, _ = traffic(seed)
        whole: Doc[Any] = Doc()
        for sent in log:
            decode(sent.update)
            whole.apply_update(sent.update)
        decode(whole.get_update())


def test_truncated_anywhere() -> None:
    """No prefix of a real update is one, and none raises anything but `malformed`."""
    log, _ = state_traffic(3)
    for data in sorted({sent.update for sent in log}, key=len)[-10:]:
        for end in range(len(data)):
            assert_refused(data[:end], RejectCode.MALFORMED)


def test_nothing_else_leaks() -> None:
    """Whatever the bytes, an update is decoded or rejected."""
    rng = random.Random(5)
    corpus = [sent.update for sent in state_traffic(4)[0] + transcript_traffic(4)[0]]
    rejected = 0
    for _ in range(20_000):
        data = bytearray(rng.choice(corpus))
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = rng.randrange(len(data))
            edit = rng.random()
            if edit < 0.5:
                data[at] = rng.choice((0, 1, 127, 128, 255, rng.getrandbits(8)))
            elif edit < 0.75:
                data[at:at] = rng.randbytes(rng.randint(1, 4))
            else:
                del data[at : at + rng.randint(1, 3)]
                data = data or bytearray(b"\0")
        try:
            decode(bytes(data))
        except Rejected:
            rejected += 1

    assert rejected > 5_000


# Counts and lengths.


@pytest.mark.parametrize("count", [10**8, 2**32, 2**53 - 1])
def test_announced_counts_are_not_believed(count: int) -> None:
    """Counts beyond the bytes that are left are refused before anything is made of them."""
    n = yb.uint(count)
    head = b"\x01\x01" + yb.uint(ABC) + b"\0"
    assert_refused(n, RejectCode.TOO_MANY_CLIENTS)
    assert_refused(b"\x01" + n + yb.uint(ABC) + b"\0", RejectCode.TOO_MANY_STRUCTS)
    assert_refused(b"\0" + n, RejectCode.TOO_MANY_CLIENTS)
    assert_refused(b"\0\x01" + yb.uint(ABC) + n, RejectCode.TOO_MANY_STRUCTS)
    for content in (Content.ANY, Content.STRING, Content.BINARY, Content.EMBED):
        assert_refused(head + yb.item(content, n), RejectCode.MALFORMED)
    for tag in (b"\x75", b"\x76", b"\x77", b"\x74"):
        assert_refused(one(values(tag + n)), RejectCode.MALFORMED)


@pytest.mark.parametrize("announced", [0, 3])
def test_struct_count_must_fit(announced: int) -> None:
    """A client has at least one struct, and no fewer bytes than structs."""
    assert_refused(b"\x01" + yb.uint(announced) + yb.uint(ABC) + b"\0\0", RejectCode.MALFORMED)


def test_update_structs_max() -> None:
    """As many structs, or deletions, as the limit are taken, one more is not."""
    limits = replace(LIMITS, update_structs_max=3)
    assert decode_update(update(section(ABC, 0, gc(1), gc(1)), section(XYZ, 0, gc(1))), limits).structs == 3
    assert_refused(
        update(section(ABC, 0, gc(1), gc(1)), section(XYZ, 0, gc(1), gc(1))), RejectCode.TOO_MANY_STRUCTS, limits=limits
    )
    decode_update(update(deletes={ABC: [(0, 1), (2, 1)], XYZ: [(0, 1)]}), limits)
    assert_refused(
        update(deletes={ABC: [(0, 1), (2, 1)], XYZ: [(0, 1), (2, 1)]}), RejectCode.TOO_MANY_STRUCTS, limits=limits
    )


def test_update_clients_max() -> None:
    """As many clients as the limit are taken, one more is not; for structs as for deletions."""
    limits = replace(LIMITS, update_clients_max=2)
    sections = [section(client, 0, gc(1)) for client in (1, 2, 3)]
    decode_update(update(*sections[:2], deletes={1: [(0, 1)], 2: [(0, 1)]}), limits)
    assert_refused(update(*sections), RejectCode.TOO_MANY_CLIENTS, limits=limits)
    assert_refused(
        update(deletes={client: [(0, 1)] for client in (1, 2, 3)}), RejectCode.TOO_MANY_CLIENTS, limits=limits
    )


def test_key_bytes_max() -> None:
    """Roots and keys up to the limit are taken, in bytes of UTF-8."""
    name = "é" * (LIMITS.key_bytes_max // 2)
    decode(one(values(yb.TRUE, parent=name, key=name)))
    assert_refused(one(text("x", parent=name + "x")), RejectCode.TOO_LARGE)
    assert_refused(one(values(yb.TRUE, key=name + "x")), RejectCode.TOO_LARGE)


@pytest.mark.parametrize("struct", [gc(0), deleted(0), text(""), values()], ids=["gc", "deleted", "string", "any"])
def test_zero_length_content(struct: bytes) -> None:
    """Content of no length is refused: a document that holds it can never be encoded again."""
    assert_refused(one(struct), RejectCode.MALFORMED)


@pytest.mark.parametrize("length", [2**31, 2**32 - 1, 2**32])
def test_clocks_stay_below_two_to_the_31(length: int) -> None:
    """Neither a struct nor a deletion ends above 2^31 - 1."""
    assert decode(one(gc(2**31 - 1))).structs == 1
    for struct in (gc(length), deleted(length)):
        assert_refused(one(struct), RejectCode.CLOCK_RANGE)
    assert_refused(one(gc(1), clock=length - 1), RejectCode.CLOCK_RANGE)
    assert_refused(one(text("😀"), clock=length - 1), RejectCode.CLOCK_RANGE)
    assert_refused(update(deletes={ABC: [(0, length)]}), RejectCode.CLOCK_RANGE)
    assert_refused(update(deletes={ABC: [(length - 1, 1)]}), RejectCode.CLOCK_RANGE)


@pytest.mark.parametrize("number", [b"\x80" * 3 + b"\x00", b"\xff" * 7 + b"\x7f", b"\x80" * 100_000 + b"\x01"])
def test_integers_are_bounded_and_minimal(number: bytes) -> None:
    """Integers longer than needed, above 2^53, or without end are refused wherever they stand."""
    assert_refused(number, RejectCode.MALFORMED)
    assert_refused(b"\x01\x01" + number + b"\0\0\x01\0", RejectCode.MALFORMED)
    assert_refused(b"\x01\x01\x0b" + number + b"\0\x01\0", RejectCode.MALFORMED)
    assert_refused(one(values(b"\x7d\x80" + number)), RejectCode.MALFORMED)


# Structure.


def test_client_repeated() -> None:
    """A client comes once among the structs and once among the deletions."""
    assert_refused(update(section(ABC, 0, gc(1)), section(ABC, 1, gc(1))), RejectCode.MALFORMED)
    twice = b"\x0b\x01\x00\x01"
    assert_refused(b"\0\x02" + twice * 2, RejectCode.MALFORMED)


def test_trailing_bytes() -> None:
    """Nothing may follow the delete set."""
    assert_refused(one(gc(1)) + b"\0", RejectCode.MALFORMED)


def test_gc_struct_has_no_flags() -> None:
    """A GC struct is a bare length."""
    for flags, body in ((0x20, b""), (0x80, yb.ident((ABC, 0))), (0x40, yb.ident((ABC, 0)))):
        assert_refused(one(bytes([flags]) + body + b"\x01"), RejectCode.MALFORMED)


@pytest.mark.parametrize("ranges", [[], [(0, 0)], [(0, 2), (1, 1)], [(5, 1), (0, 1)], [(3, 1), (3, 1)]], ids=str)
def test_deletions_ascend(ranges: list[tuple[int, int]]) -> None:
    """A client's deletions are there, not empty, ascending and disjoint."""
    assert_refused(update(deletes={ABC: ranges}), RejectCode.MALFORMED)


def test_parent_is_a_root_or_an_id() -> None:
    """The number before a parent is one or zero."""
    assert_refused(one(bytes([Content.DELETED]) + b"\x02\x01t\x01"), RejectCode.MALFORMED)


@pytest.mark.parametrize("content", [2, 9, 10, 11, 12, 31])
def test_unsupported_content(content: int) -> None:
    """JSON, sub-documents, skips, moves and unknown content are refused."""
    assert_refused(one(yb.item(content, b"\x01\x01x\x7f")), RejectCode.UNSUPPORTED_CONTENT)


@pytest.mark.parametrize("kind", [5, 7, 15, 128])
def test_unsupported_kinds(kind: int) -> None:
    """XML hooks, weak links and unknown kinds of types are refused."""
    assert_refused(one(yb.item(Content.TYPE, bytes([kind, 1, 1]))), RejectCode.UNSUPPORTED_CONTENT)


@pytest.mark.parametrize("raw", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe6\xbc"])
def test_bad_utf8(raw: bytes) -> None:
    """Strings are strict UTF-8, halves of surrogate pairs included, wherever they stand."""
    bad = yb.string(raw)
    for struct in (
        yb.item(Content.STRING, bad),
        yb.item(Content.FORMAT, bad + b"\x04true"),
        yb.item(Content.FORMAT, b"\x01b" + bad),
        yb.item(Content.EMBED, bad),
        yb.item(Content.TYPE, b"\x03" + bad),
        values(b"\x77" + bad),
        values(b"\x76\x01" + bad + b"\x78"),
        bytes([Content.DELETED]) + b"\x01" + bad + b"\x01",
        bytes([Content.DELETED | 0x20]) + b"\x01\x01t" + bad + b"\x01",
    ):
        assert_refused(one(struct), RejectCode.MALFORMED)


# Values.


@pytest.mark.parametrize("depth", DEEP)
def test_value_depth_max(depth: int) -> None:
    """Values nest up to the limit; deeper ones, arrays or objects, would overflow the stack of every reader."""
    most = LIMITS.value_depth_max
    for opening in (b"\x75\x01", b"\x76\x01\x01k"):
        decode(one(values(opening * most + yb.TRUE)))
        assert_refused(one(values(opening * (most + 1) + yb.TRUE)), RejectCode.TOO_DEEP)
        assert_refused(one(values(opening * depth + yb.TRUE)), RejectCode.TOO_DEEP)


@pytest.mark.parametrize("depth", DEEP)
def test_json_depth(depth: int) -> None:
    """The JSON of embeds and formats has the same limit, brackets in strings not counted."""
    most = LIMITS.value_depth_max
    for content, head in ((Content.EMBED, b""), (Content.FORMAT, b"\x01b")):

        def json(value: str, content: int = content, head: bytes = head) -> bytes:
            return one(yb.item(content, head + yb.string(value)))

        decode(json("[" * most + "]" * most))
        decode(json("[" + ",".join(["[]"] * depth) + "]"))
        decode(json('"' + '[{\\"' * depth + '"'))
        assert_refused(json("[" * (most + 1) + "]" * (most + 1)), RejectCode.TOO_DEEP)
        assert_refused(json('"\\\\" ' * depth + "[" * (most + 1)), RejectCode.TOO_DEEP)
        assert_refused(json('{"\\\\":' * depth + "1" + "}" * depth), RejectCode.TOO_DEEP)
        assert_refused(json("]" * depth + "[" * depth), RejectCode.MALFORMED)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "{",
        "NaN",
        "-Infinity",
        "1e400",
        "9" * 5000,
        "9223372036854775808",
        '"\\ud800"',
        "undefined",
        "'x'",
        "01",
        '"\n"',
    ],
)
def test_json_that_not_everybody_reads(value: str) -> None:
    """JSON that JavaScript or yrs refuses is refused."""
    assert_refused(one(yb.item(Content.EMBED, yb.string(value))), RejectCode.MALFORMED)


@pytest.mark.parametrize("value", ["1", "-0", "1e20", "100000000000000000000", '"\\ud83d\\ude00"', ' {"a": [null]} '])
def test_json_that_everybody_reads(value: str) -> None:
    """All other JSON is taken, and pycrdt loads it."""
    data = one(yb.item(Content.EMBED, yb.string(value)))
    decode(data)
    Doc().apply_update(data)


@pytest.mark.parametrize("value", [b"", b"\x7c\0\0\0", b"\x7b" + bytes(7), b"\x7d\xff", b"\x76\x01"])
def test_values_cut_short(value: bytes) -> None:
    """A value has all its bytes."""
    head = b"\x01\x01\x0b\x00\x08\x01\x01a\x01"
    assert_refused(head + value, RejectCode.MALFORMED)


@pytest.mark.parametrize("tag", [0, 115, 128, 255])
def test_values_of_unknown_type(tag: int) -> None:
    """A value's tag is one of lib0's."""
    assert_refused(one(values(bytes([tag]))), RejectCode.MALFORMED)


# What the server writes.


def test_prefix_brings_a_document_to_a_clock() -> None:
    """A document that got the prefix goes on under the client id from that clock on."""
    doc: Doc[Any] = Doc(client_id=2**52 + 5)
    doc.apply_update(encode_prefix(2**52 + 5, 1_000))
    before = doc.get_state()
    doc["t"] = Map({"k": 1})

    assert decode(encode_prefix(2**52 + 5, 1_000)).sections == {2**52 + 5: [(0, 1000, 0, None, None, None, None, None)]}
    assert decode(doc.get_update(before)).sections[2**52 + 5][0][0] == 1_000


def test_prefix_of_nothing_is_empty() -> None:
    """At clock 0 there is nothing to bring."""
    assert encode_prefix(7, 0) == EMPTY_UPDATE


JSON = {
    "seq": 12,
    "large": 2**40,
    "edges": [63, 64, -63, -64, 2**31 - 1, -(2**31) + 1, 2**31, -(2**53)],
    "float": 1.5,
    "text": "né 😀",
    "flags": [True, False, None],
    "nested": {"a": {"b": []}},
}


def test_map_entries_load_in_pycrdt() -> None:
    """What is written is what pycrdt reads, and what the decoder takes."""
    data = encode_map_entries(2**52 + 5, 3, "receipts", [("m:1", JSON), ("m:2", "x")])
    doc: Doc[Any] = Doc()
    receipts = doc.get("receipts", type=Map)
    doc.apply_update(encode_prefix(2**52 + 5, 3))
    doc.apply_update(data)

    assert receipts.to_py() == {"m:1": JSON, "m:2": "x"}
    assert [struct[:3] for struct in decode(data).sections[2**52 + 5]] == [(3, 1, Content.ANY), (4, 1, Content.ANY)]


def test_no_map_entries_is_empty() -> None:
    """Nothing to set makes the empty update."""
    assert encode_map_entries(7, 3, "receipts", []) == EMPTY_UPDATE


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**53 + 1, 10**400, "\ud800", {"\udfff": 1}, b"raw", object()], ids=repr
)
def test_values_that_yjs_cannot_carry(value: object) -> None:
    """A value that would not come out as it went in is the caller's mistake."""
    with pytest.raises(LocalProtocolError):
        encode_map_entries(7, 0, "receipts", [("k", value)])


def test_array_of_pycrdt_numbers() -> None:
    """All the ways in which pycrdt writes numbers are read: small, large, float32, float64, big integers."""
    doc: Doc[Any] = Doc()
    doc["a"] = Array([0, -1, 2**31, 2**53, 2**60, -(2**60), 0.1, 0.5, float("inf"), b"raw", None])
    decode(doc.get_update())


SLOW: list[Callable[[int], bytes]] = [
    lambda size: one(values(*[yb.TRUE] * size)),
    lambda size: update(section(ABC, 0, *[gc(1)] * min(size, LIMITS.update_structs_max))),
    lambda size: one(text("😀" * (size // 4))),
    lambda size: one(yb.item(Content.EMBED, yb.string('"' + '\\"' * (size // 2) + '"'))),
    lambda size: one(yb.item(Content.EMBED, yb.string('"\\' * (size // 2)))),
    lambda size: one(yb.item(Content.EMBED, yb.string("[" + '"[",' * (size // 4)))),
    lambda size: update(deletes={ABC: [(at * 2, 1) for at in range(min(size, LIMITS.update_structs_max))]}),
]


@pytest.mark.parametrize("make", SLOW, ids=["values", "structs", "emoji", "escapes", "quotes", "brackets", "deletions"])
def test_time_is_linear(make: Callable[[int], bytes]) -> None:
    """The most expensive bytes of a frame take well under a second, whatever they are."""
    data = make(LIMITS.frame_bytes_max)
    begin = time.thread_time()
    with suppress(Rejected):
        decode(data)

    assert time.thread_time() - begin < 1.0
