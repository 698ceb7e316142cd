"""Content: all that a document holds, as JSON, read with pycrdt in every way that readers have.

tests/js/load.js says the same of a Yjs document. Knows nothing of where documents come from.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from syncd.core.update import Kind
from tests.yjs import answers_of

_TYPES: Final[Mapping[Kind, Any]] = {
    Kind.MAP: Map,
    Kind.ARRAY: Array,
    Kind.TEXT: Text,
    Kind.XML_FRAGMENT: XmlFragment,
}
_YJS_KINDS: Final = {Kind.MAP: "map", Kind.ARRAY: "array", Kind.TEXT: "text", Kind.XML_FRAGMENT: "xml"}


def open_document(
    roots: Mapping[str, Kind], updates: Iterable[bytes], *, client_id: int = 4, skip_gc: bool = False
) -> Doc[Any]:
    """Return a document whose roots were made with their kinds before `updates` were applied."""
    doc: Doc[Any] = Doc(client_id=client_id, skip_gc=skip_gc)
    make_roots(doc, roots)
    for update in updates:
        doc.apply_update(update)
    return doc


def make_roots(doc: Doc[Any], roots: Mapping[str, Kind]) -> None:
    """Make every root under its kind."""
    for root, kind in roots.items():
        doc.get(root, type=_TYPES[kind])


def content_of(doc: Doc[Any], roots: Mapping[str, Kind]) -> dict[str, Any]:
    """Return what lies under each root."""
    return {root: _read(doc.get(root, type=_TYPES[kind])) for root, kind in sorted(roots.items())}


def _read(value: Any) -> Any:
    if isinstance(value, Map):
        return {"map": {key: _read(value[key]) for key in value.keys()}}  # noqa: SIM118 - a pycrdt Map, not a dict
    if isinstance(value, Array):
        return {"array": [_read(part) for part in value]}
    if isinstance(value, Text):
        assert str(value) is not None
        return {"text": _runs(value)}
    if isinstance(value, XmlText):
        assert str(value) is not None
        assert len(value) >= 0
        return {"words": _runs(value), "attributes": _attributes(value)}
    if isinstance(value, XmlElement):
        children = [_read(child) for child in value.children]
        return {"element": value.tag, "attributes": _attributes(value), "children": children}
    if isinstance(value, XmlFragment):
        return {"children": [_read(child) for child in value.children]}
    return _plain(value)


def _runs(text: Any) -> list[Any]:
    """Return the pieces of a text with their marks; neighbours with the same marks are one, however they were cut."""
    runs: list[Any] = []
    for part, marks in text.diff():
        read, marked = _read(part), {key: _plain(mark) for key, mark in (marks or {}).items()}
        if runs and isinstance(read, str) and isinstance(runs[-1][0], str) and runs[-1][1] == marked:
            runs[-1][0] += read
        else:
            runs.append([read, marked])
    return runs


def _attributes(element: Any) -> dict[str, Any]:
    return {key: _attribute(value) for key, value in element.attributes}


def _attribute(value: Any) -> Any:
    # pycrdt hands out shared types among attributes without its own wrapper.
    plain = value is None or isinstance(value, bool | int | float | str | list | dict | bytes | bytearray)
    return _plain(value) if plain else "a shared type"


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: JavaScript's one kind of number, no NaN, no undefined."""
    if isinstance(value, bytes | bytearray):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return value


class Differential:
    """Documents to be loaded by Yjs from the same bytes, in batches; what it makes of them must be what pycrdt made.

    With no Node nothing is compared, which `node` says.
    """

    def __init__(self, node: str | None, documents_max: int, *, batch: int = 400) -> None:
        self.node = node
        self.compared = 0
        self._left = documents_max if node else 0
        self._batch = batch
        self._waiting: list[tuple[Sequence[bytes], Mapping[str, Kind], dict[str, Any]]] = []

    def add(self, updates: Sequence[bytes], roots: Mapping[str, Kind], content: dict[str, Any]) -> None:
        """Have Yjs load `updates`, in which pycrdt found `content`."""
        if self._left <= 0:
            return
        self._left -= 1
        self._waiting.append((updates, roots, content))
        if len(self._waiting) >= self._batch:
            self.settle()

    def settle(self) -> None:
        """Compare what waits.

        Raises:
            AssertionError: Yjs throws, waits for something, or reads something else.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting or self.node is None:
            return
        documents = [
            (updates, {name: _YJS_KINDS[kind] for name, kind in roots.items()}) for updates, roots, _ in waiting
        ]
        for (updates, _, content), answer in zip(waiting, answers_of(documents), strict=True):
            shown = f"{[update.hex() for update in updates]}"
            assert "error" not in answer, f"Yjs: {answer['error']} at {shown}"
            assert answer["content"] == content, f"Yjs has {answer['content']}, pycrdt {content}, of {shown}"
            self.compared += 1
