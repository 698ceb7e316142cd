"""LayerShape: what the documents of a layer may be made of: roots, kinds, contents, depth.

Knows nothing of single documents or of who writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from syncd.core.limits import Limits
from syncd.core.messages import Layer
from syncd.core.update import Content, Kind

#: Contents that a kind of type holds in its sequence, and under keys. A text in an array hangs its readers for ever.
_SEQUENCE: Final[Mapping[Kind, frozenset[int]]] = {
    Kind.ARRAY: frozenset({Content.ANY, Content.BINARY, Content.TYPE, Content.DELETED}),
    Kind.MAP: frozenset(),
    Kind.TEXT: frozenset({Content.STRING, Content.EMBED, Content.FORMAT, Content.TYPE, Content.DELETED}),
    Kind.XML_ELEMENT: frozenset({Content.TYPE, Content.DELETED}),
    Kind.XML_FRAGMENT: frozenset({Content.TYPE, Content.DELETED}),
    Kind.XML_TEXT: frozenset({Content.STRING, Content.EMBED, Content.FORMAT, Content.TYPE, Content.DELETED}),
}
_KEYED: Final[Mapping[Kind, frozenset[int]]] = {
    Kind.ARRAY: frozenset(),
    Kind.MAP: frozenset({Content.ANY, Content.BINARY, Content.TYPE, Content.DELETED}),
    Kind.TEXT: frozenset(),
    Kind.XML_ELEMENT: frozenset({Content.ANY, Content.BINARY, Content.TYPE, Content.DELETED}),
    Kind.XML_FRAGMENT: frozenset(),
    Kind.XML_TEXT: frozenset({Content.ANY, Content.BINARY, Content.TYPE, Content.DELETED}),
}
_XML_CHILDREN: Final = frozenset({Kind.XML_ELEMENT, Kind.XML_TEXT})
_XML_PARENTS: Final = frozenset({Kind.XML_ELEMENT, Kind.XML_FRAGMENT})
_PLAIN_KINDS: Final = frozenset({Kind.ARRAY, Kind.MAP, Kind.TEXT})


@dataclass(frozen=True, slots=True)
class LayerShape:
    """The rules of one layer.

    `roots` maps the names of fixed roots, maps all, to the one content their entries have; None leaves the layer open
    for up to `roots_max` roots of any name, whose kinds come from their first content. `depth_max` counts shared types
    below a root.
    """

    layer: Layer
    roots: Mapping[str, Content] | None
    roots_max: int
    depth_max: int
    right_origins: bool
    xml: bool
    kinds: frozenset[Kind] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", frozenset(Kind) if self.xml else _PLAIN_KINDS)


def transcript_shape(limits: Limits) -> LayerShape:
    """Return the transcript's shape: five maps; messages and runs are maps themselves, all else one value."""
    return LayerShape(
        layer=Layer.TRANSCRIPT,
        roots={
            "messages": Content.TYPE,
            "runs": Content.TYPE,
            "commands": Content.ANY,
            "reads": Content.ANY,
            "receipts": Content.ANY,
        },
        roots_max=5,
        depth_max=limits.transcript_depth_max,
        right_origins=False,
        xml=False,
    )


def state_shape(limits: Limits) -> LayerShape:
    """Return the state layer's shape: whatever an app or an editor makes."""
    return LayerShape(
        layer=Layer.STATE,
        roots=None,
        roots_max=limits.state_roots_max,
        depth_max=limits.state_depth_max,
        right_origins=True,
        xml=True,
    )


def fits(container: Kind, keyed: bool, content: int, length: int, kind: Kind | None) -> bool:
    """Whether a container of kind `container` may hold this content, of `length` clocks, `kind` if it is a type.

    Under a key there is one value; what was deleted may come as one stretch.
    """
    if keyed:
        return content in _KEYED[container] and (length == 1 or content == Content.DELETED)
    if kind is not None and container in _XML_PARENTS and kind not in _XML_CHILDREN:
        return False
    return content in _SEQUENCE[container]


def kind_from_content(keyed: bool, content: int, kind: Kind | None) -> tuple[Kind, bool] | None:
    """Return the kind of a root that holds this content, and whether no other kind could; None if it does not show.

    A nested type may lie in an array as in a text: only other content of the same update tells more.
    """
    if keyed:
        return Kind.MAP, True
    if kind is not None:
        return (Kind.XML_FRAGMENT if kind in _XML_CHILDREN else Kind.ARRAY), False
    if content == Content.DELETED:
        return None
    return (Kind.ARRAY if content in _SEQUENCE[Kind.ARRAY] else Kind.TEXT), True
