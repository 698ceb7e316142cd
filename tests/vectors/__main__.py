"""`python -m tests.vectors`: write the vectors anew. Look at what changed before you commit it: they are the wire."""

import json

from tests.vectors.branches import branch_vectors
from tests.vectors.conversation import conversation_vectors, meaning
from tests.vectors.entries import entry_vectors
from tests.vectors.frames import frame_vectors
from tests.vectors.refusals import refusal_vectors
from tests.vectors.runs import run_vectors
from tests.vectors.search import search_vectors
from tests.vectors.updates import state_vector_vectors, update_vectors
from tests.vectors.vector import PLACE, render


def files() -> dict[str, str]:
    """Return the text of every file of vectors, by its path below `v1`."""
    vectors = {
        **frame_vectors(),
        "refused_frames.json": refusal_vectors(),
        "updates.json": update_vectors(),
        "state_vectors.json": state_vector_vectors(),
        "entries.json": entry_vectors(),
        "branches.json": branch_vectors(),
        "runs.json": run_vectors(),
        "search.json": search_vectors(),
    }
    return {path: render(content) for path, content in vectors.items()} | {"conversation.json": _conversation()}


def _conversation() -> str:
    """Return the recorded conversation: the one that is there, if a new one would say the same."""
    path, new = PLACE / "conversation.json", conversation_vectors()
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    return old if old and meaning(json.loads(old)) == meaning(new) else render(new)


def main() -> None:
    """Write every file, and remove those that are no more."""
    written = files()
    for path in PLACE.rglob("*.json"):
        if path.relative_to(PLACE).as_posix() not in written:
            path.unlink()
    for name, text in written.items():
        path = PLACE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"{len(written)} files in {PLACE.name}")


if __name__ == "__main__":
    main()
