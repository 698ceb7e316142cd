"""Pieces: what a model or agent library said, in words that belong to no library. `Run.stream` writes them into a run.

Plain data. Knows nothing of libraries, runs or documents.

The order carries meaning: `Text` and `Reasoning` go on with the part that is open if it is of their kind, else they
open one; `PartEnd`, or a piece that is a part of its own, closes it. `call` names a tool call within one stream: two
calls of one stream never share a name, even where a library used one id twice. What is said of a call that this stream
did not start by `ToolInputStart` is about the run's last call of that name, if it has no result yet: after an approval
the library is asked to go on, in a stream of its own. Its arguments told again, by `ToolInput`, begin no other call.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from syncd.core.messages import Json


@dataclass(frozen=True, slots=True)
class Text:
    """More of the answer."""

    delta: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """More of the reasoning, which is shown apart from the answer. Empty where only the provider can read it."""

    delta: str


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The text or reasoning that is open is complete. Harmless if none is."""


@dataclass(frozen=True, slots=True)
class ToolInputStart:
    """A tool call begins; its arguments follow as `ToolInputDelta`s."""

    call: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolInputDelta:
    """More of the text of a call's arguments."""

    call: str
    delta: str


@dataclass(frozen=True, slots=True)
class ToolInput:
    """The complete arguments of a call, started before or not. A string if they were no JSON."""

    call: str
    name: str
    args: Json


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a tool returned."""

    call: str
    output: Json


@dataclass(frozen=True, slots=True)
class ToolError:
    """A tool failed, or was not allowed to run."""

    call: str
    message: str


@dataclass(frozen=True, slots=True)
class ToolApproval:
    """The library stopped and wants a decision before it goes on.

    `call` is the tool call in question where the library tells, else the library's id of the interrupt: then there was
    no `ToolInput` of that name. `payload` is what it asks. `resume` is what the library wants back to find the place.
    """

    call: str
    payload: Json
    resume: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Something the answer rests on."""

    kind: Literal["url", "document"]
    url: str = ""
    title: str = ""
    media_type: str = ""
    filename: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A file that the model made: where it is, or its bytes."""

    media_type: str
    url: str = ""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Data:
    """A value of the app's own. The same `name` and `id` again replace it; `transient` is shown and never kept."""

    name: str
    value: Json
    id: str | None = None
    transient: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A model call begins."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one model call cost: `input_tokens`, `output_tokens`, where known `total_tokens`, `cached_input_tokens`,
    `reasoning_tokens`. One for each model call: they add up."""

    values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Finish:
    """Why a model call ended: `stop`, `length`, `tool-calls`, `content-filter` or `other`. The last is the run's."""

    reason: str


@dataclass(frozen=True, slots=True)
class Provider:
    """What only the provider understands, kept verbatim: `{library: value}`.

    Of the run: ids to resume at the model's side. With `part`, of a part: of `call` where one is named, else of the
    text or reasoning that is open. Then it is what has to go back unchanged, such as signed or encrypted reasoning, a
    block or a list of blocks. A later value for the same library replaces it. `history.from_parts` says how it goes
    back.
    """

    values: Mapping[str, Json]
    part: bool = False
    call: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The library ended the stream with a failure of the model's side. What it raises instead is not made a piece."""

    code: str
    message: str


Piece: TypeAlias = (
    Text
    | Reasoning
    | PartEnd
    | ToolInputStart
    | ToolInputDelta
    | ToolInput
    | ToolOutput
    | ToolError
    | ToolApproval
    | Source
    | File
    | Data
    | Step
    | Usage
    | Finish
    | Provider
    | Failed
)
PIECES: Final[tuple[type[Piece], ...]] = get_args(Piece)
