"""Indexes to plan against, and what to expect of them."""

from collections.abc import Mapping

import pytest

from syncd.core.errors import RejectCode, Rejected
from syncd.core.index import ContainerIndex, Plan, state_shape, transcript_shape
from syncd.core.limits import Limits
from syncd.core.update import Kind, decode_update
from tests.core.yjs_bytes import ABC, section, update

LIMITS = Limits()
SHAPES = {"transcript": transcript_shape(LIMITS), "state": state_shape(LIMITS)}
ROOTS = {"a": Kind.ARRAY, "m": Kind.MAP, "t": Kind.TEXT, "x": Kind.XML_FRAGMENT}


def state_index(*updates: bytes, roots: Mapping[str, Kind] = ROOTS) -> ContainerIndex:
    index = ContainerIndex(SHAPES["state"], roots)
    for data in updates:
        accept(index, data)
    return index


def transcript_index(*updates: bytes) -> ContainerIndex:
    index = ContainerIndex(SHAPES["transcript"])
    for data in updates:
        accept(index, data)
    return index


def plan(index: ContainerIndex, data: bytes) -> Plan:
    return index.plan(decode_update(data, LIMITS))


def accept(index: ContainerIndex, data: bytes) -> Plan:
    made = plan(index, data)
    index.commit(made)
    return made


def assert_refused(index: ContainerIndex, data: bytes, code: RejectCode) -> None:
    """Refused with `code`, and nothing has changed."""
    state, roots = dict(index.state), dict(index.roots)
    with pytest.raises(Rejected) as caught:
        plan(index, data)

    assert caught.value.code is code, caught.value
    assert (index.state, index.roots) == (state, roots)


def abc(*structs: bytes, clock: int = 0, deletes: Mapping[int, list[tuple[int, int]]] | None = None) -> bytes:
    return update(section(ABC, clock, *structs), deletes=deletes)
