"""Whom a typed message addresses."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from syncd_client import Client, Session

from syncd.cli.mentions import addressed, subject_of


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    """A session in which agent:critic and user:theo are known."""
    async with Client("http://127.0.0.1:1", token="dev:mona", store=tmp_path / "mona.db") as client:
        session = await client.open("trip")
        await session.post("hello", to=["agent:critic", "user:theo"])
        yield session


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plan Lisbon", []),
        ("@planner plan Lisbon", ["agent:planner"]),
        ("@planner, @critic: plan Lisbon", ["agent:planner", "agent:critic"]),
        ("@theo look at this", ["user:theo"]),
        ("what do you think, @critic?", ["agent:critic"]),
        ("ask @planner. Or @critic.", ["agent:critic"]),  # Unknown here, it may be anything with an @.
        ("ask @agent:planner", ["agent:planner"]),
        ("write to theo@critic or a@b.example", []),
        ("@critic @critic", ["agent:critic"]),
        ("@@critic", []),
        ("@", []),
    ],
)
async def test_whom_a_message_addresses(text: str, expected: list[str], session: Session) -> None:
    """At the beginning @name is an agent, wherever else only who is known here; an address in a text is nobody."""
    assert addressed(text, session) == expected


async def test_whom_a_name_means(session: Session) -> None:
    """A name alone has to be known; with @ it is an agent, and a subject is itself."""
    names = ("theo", "critic", "@critic", "planner", "@planner", "agent:x", "user:x", "@", "")

    assert [subject_of(name, session) for name in names] == [
        "user:theo", "agent:critic", "agent:critic", None, "agent:planner", "agent:x", "user:x", None, None,
    ]  # fmt: skip
