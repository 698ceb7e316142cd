"""The revocation list on disk."""

import json
import stat
from pathlib import Path

import pytest

from syncd.core.errors import StoreDamaged
from syncd.server.revocations import Revocations


def revoked(list_: Revocations, token_id: str = "-", subject: str = "user:-", issued_at: float = 0.0) -> bool:
    return list_.revoked(token_id=token_id, subject=subject, issued_at=issued_at)


async def test_revocation_survives_a_restart(tmp_path: Path) -> None:
    """Another object over the same file refuses the same."""
    path = tmp_path / "revoked.json"
    first = Revocations(path)
    await first.revoke_token("t-1", until=200, now=100)
    await first.revoke_subject("user:mona", until=200, now=100)
    second = Revocations(path)

    assert revoked(second, token_id="t-1")
    assert revoked(second, subject="user:mona", issued_at=100)
    assert not revoked(second, subject="user:mona", issued_at=101)
    assert not revoked(second, token_id="t-2", subject="user:otto")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_entries_end_with_the_tokens_they_concern(tmp_path: Path) -> None:
    """A list that is used for years stays short."""
    path = tmp_path / "revoked.json"
    list_ = Revocations(path)
    for n in range(100):
        await list_.revoke_token(f"t-{n}", until=n + 10, now=n)
    await list_.revoke_subject("user:mona", until=110, now=100)
    await list_.revoke_subject("user:otto", until=300, now=200)
    content = json.loads(path.read_text())

    assert content["tokens"] == {}
    assert list(content["subjects"]) == ["user:otto"]


async def test_links_are_cut_after_it_is_on_disk(tmp_path: Path) -> None:
    """The callback finds the file written."""
    path = tmp_path / "revoked.json"
    list_ = Revocations(path)
    seen: list[tuple[frozenset[str], frozenset[str], bool]] = []
    list_.on_revoke = lambda tokens, subjects: seen.append((tokens, subjects, revoked(Revocations(path), "t-1")))
    await list_.revoke_token("t-1", until=200, now=100)

    assert seen == [(frozenset({"t-1"}), frozenset(), True)]


async def test_list_that_cannot_be_written_revokes_nothing(tmp_path: Path) -> None:
    """The caller learns that it failed; a restart could not be trusted to remember."""
    list_ = Revocations(tmp_path / "no-such-directory" / "revoked.json")
    with pytest.raises(OSError, match="no-such-directory"):
        await list_.revoke_token("t-1", until=200, now=100)

    assert not revoked(list_, token_id="t-1")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"tokens": {"a": "x"}, "subjects": {}}', "\x00"])
def test_damaged_list_is_an_error(tmp_path: Path, text: str) -> None:
    """Never an empty list: what was revoked would be good again."""
    path = tmp_path / "revoked.json"
    path.write_text(text)
    with pytest.raises(StoreDamaged, match="does not read"):
        Revocations(path)
