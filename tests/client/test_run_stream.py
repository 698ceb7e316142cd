"""PieceWriter: what a library streams is written as the parts that its pieces name."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from syncd_client import Run, Streamed
from syncd_client.adapters import Piece, pieces

from tests.client.agents import ask, ended, person, serving_agent, status
from tests.client.fake_server import FakeServer
from tests.harness import until


def piece(kind: str, /, **fields: Any) -> Piece:
    """Return a piece of this kind."""
    made: Piece = getattr(pieces, kind)(**fields)
    return made


async def play(*script: Piece) -> AsyncIterator[Piece]:
    for one in script:
        yield one


async def test_each_piece_becomes_its_part(fake: FakeServer, tmp_path: Path) -> None:
    """In order, what the provider wants back beside its part; usage adds up, the last reason counts."""

    async def handler(run: Run) -> None:
        await run.stream(
            play(
                piece("Step"),
                piece("Reasoning", delta="hm"),
                piece("Provider", values={"anthropic": {"signature": "s"}}, part=True),
                piece("PartEnd"),
                piece("Text", delta="Take "),
                piece("Text", delta="it."),
                piece("Source", kind="url", url="https://x", title="t", id="s1", media_type="", filename=""),
                piece("File", media_type="image/png", url="", data=b"abc"),
                piece("Data", name="w", value=1, id="i", transient=False),
                piece("Data", name="w", value=2, id="i", transient=False),
                piece("Data", name="t", value=1, id=None, transient=True),
                piece("Usage", values={"input_tokens": 2}),
                piece("Usage", values={"input_tokens": 3}),
                piece("Provider", values={"openai": {"id": "r"}}, part=False),
                piece("Finish", reason="tool-calls"),
                piece("Finish", reason="length"),
            )
        )

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ended(session, await ask(fake, session))
        assert (run.usage, run.provider, run.finish_reason) == (
            {"input_tokens": 5}, {"openai": {"id": "r"}}, "length",
        )  # fmt: skip
        assert [dict(part) for part in session.messages()[-1].parts] == [
            {"id": "0", "type": "step-start"},
            {"id": "1", "type": "reasoning", "text": "hm", "state": "done",
             "provider": {"anthropic": {"signature": "s"}}},
            {"id": "2", "type": "text", "text": "Take it.", "state": "done"},
            {"id": "3", "type": "source-url", "url": "https://x", "title": "t", "source_id": "s1"},
            {"id": "4", "type": "file", "url": "data:image/png;base64,YWJj", "media_type": "image/png"},
            {"id": "i", "type": "data-w", "data": 2},
        ]  # fmt: skip


async def test_calls_are_told_apart_by_stream_and_answered_by_name(fake: FakeServer, tmp_path: Path) -> None:
    """What is to be run, what is to be decided, and what a second stream calls by a name that was used before."""
    streams: list[Streamed] = []

    async def handler(run: Run) -> None:
        streams.append(
            await run.stream(
                play(
                    piece("ToolInputStart", call="c1", name="book"),
                    piece("ToolInputDelta", call="c1", delta='{"n": 1}'),
                    piece("ToolInput", call="c1", name="book", args={"n": 1}),
                    piece("ToolInput", call="c2", name="pay", args={"eur": 2}),
                    piece("ToolInput", call="c3", name="look", args={}),
                    piece("ToolOutput", call="c2", output="paid"),
                    piece("ToolApproval", call="c1", payload={"why": "dear"}, resume="here"),
                    piece("ToolApproval", call="i1", payload={"sure": True}, resume=None),
                )
            )
        )
        [book, sure] = streams[0].asked
        assert (await book.call.approval()).approved
        streams.append(
            await run.stream(
                play(
                    piece("ToolOutput", call="c1", output="booked"),
                    piece("ToolInput", call="c1", name="book", args={"n": 2}),
                    piece("ToolError", call="c1", message="full"),
                )
            )
        )
        await sure.call.output(True)

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: status(session, run) in ("suspended", "failed"))
        await session.approve(f"{run}-1_0")
        assert (await ended(session, run)).error is None
        assert [call.name for call in streams[0].calls] == ["look"]
        assert [(one.payload, one.resume) for one in streams[0].asked] == [
            ({"why": "dear"}, "here"),
            ({"sure": True}, None),
        ]
        parts = session.messages()[-1].parts
        assert [(p["name"], p["input"], p["state"], p.get("output", p.get("error"))) for p in parts] == [
            ("book", {"n": 1}, "output-available", "booked"),
            ("pay", {"eur": 2}, "output-available", "paid"),
            ("look", {}, "input-available", None),
            ("approval", {"sure": True}, "output-available", True),
            ("book", {"n": 2}, "output-error", "full"),
        ]
        assert (parts[0]["raw_input"], parts[0]["asked"]) == ('{"n": 1}', {"why": "dear"})


async def test_arguments_that_are_told_again_are_of_the_call_that_has_no_result(
    fake: FakeServer, tmp_path: Path
) -> None:
    """A library that goes on says what it calls once more. With a result, other arguments or another tool it is new."""
    streams: list[Streamed] = []

    async def handler(run: Run) -> None:
        for script in (
            [piece("ToolInput", call="c1", name="book", args={"n": 1})],
            [piece("ToolInput", call="c1", name="book", args={"n": 1}), piece("Step")],
            [piece("ToolInput", call="c1", name="book", args={"n": 1}), piece("ToolOutput", call="c1", output="ok")],
            [piece("ToolInput", call="c1", name="book", args={"n": 1})],
            [piece("ToolInput", call="c1", name="book", args={"n": 2})],
            [piece("ToolInput", call="c1", name="look", args={"n": 2})],
        ):
            streams.append(await run.stream(play(*script)))
        await streams[-1].calls[0].output("seen")
        streams.append(await run.stream(play(piece("ToolInput", call="c1", name="look", args={"n": 2}))))

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        assert (await ended(session, await ask(fake, session))).error is None
        parts = [part for part in session.messages()[-1].parts if part["type"] == "tool"]
        assert [(part["name"], part["input"], part.get("output")) for part in parts] == [
            ("book", {"n": 1}, "ok"),
            ("book", {"n": 1}, None),
            ("book", {"n": 2}, None),
            ("look", {"n": 2}, "seen"),
            ("look", {"n": 2}, None),
        ]
        assert [[call.name for call in streamed.calls] for streamed in streams] == [
            ["book"], ["book"], [], ["book"], ["book"], ["look"], ["look"],
        ]  # fmt: skip


async def test_a_failure_of_the_models_side_is_the_runs(fake: FakeServer, tmp_path: Path) -> None:
    """With its code; what came before it stays."""

    async def handler(run: Run) -> None:
        await run.stream(play(piece("Text", delta="so far"), piece("Failed", code="overloaded", message="try later")))

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ended(session, await ask(fake, session))
        assert run.error == {"code": "overloaded", "message": "try later"}
        assert session.messages()[-1].text == "so far"


async def test_streams_at_once_know_their_own_texts(fake: FakeServer, tmp_path: Path) -> None:
    """Each returns what was its own, also where the run's answer has both."""
    streams: list[Streamed] = []

    async def model(word: str, both: asyncio.Barrier) -> AsyncIterator[str]:
        for _ in range(3):
            yield word
            await both.wait()

    async def handler(run: Run) -> None:
        both = asyncio.Barrier(2)
        streams.extend(await asyncio.gather(run.stream(model("a", both)), run.stream(model("b", both))))

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ended(session, await ask(fake, session))
        assert (run.status, [streamed.text for streamed in streams]) == ("completed", ["aaa", "bbb"])
        assert sorted(session.messages()[-1].text.replace("\n", "")) == [*"aaabbb"]
