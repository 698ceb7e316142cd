"""`syncd export`, `syncd import`, `syncd sessions` and `syncd delete`."""

import json

from tests.cli.terminal import ServerProcess, Terminal


def test_export_and_import_keep_everything(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """A session that was exported, erased and imported again reads as before, authors and numbers included."""
    terminal.setenv("SYNCD_URL", server.url)
    terminal.run("chat", room, "--as", "mona", lines="one\ntwo 😀\n")
    assert terminal.run("export", room, "-o", "trip.json").exit_code == 0
    before = json.loads((terminal.home / "trip.json").read_text())
    assert terminal.run("delete", room, "--yes").exit_code == 0
    assert room not in terminal.run("sessions").out
    assert terminal.run("import", "trip.json").exit_code == 0
    after = json.loads(terminal.run("export", room).out)

    assert [message["parts"][0]["text"] for message in after["messages"]] == ["one", "two 😀"]
    for name in ("messages", "authors", "roots", "seq"):
        assert after[name] == before[name]


def test_export_from_the_store_itself(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """A store file is read without asking the server, beside it too, and gives the same session."""
    terminal.run("chat", room, "--as", "mona", "--url", server.url, lines="from the file\n")
    from_server = json.loads(terminal.run("export", room, "--url", server.url).out)
    from_file = json.loads(terminal.run("export", room, "--store", str(server.store)).out)
    text = terminal.run("export", room, "--format", "markdown", "--store", str(server.store))
    missing = terminal.run("export", "no-such", "--store", str(server.store))

    # The documents are the same, but Yjs keeps a map's keys in no order: their bytes may differ.
    varying = {"exported_at": 0, "documents": {}}
    assert from_file | varying == from_server | varying
    assert "## 1 · user:mona\n\nfrom the file" in text.out
    assert (missing.exit_code, "no session" in missing.err) == (1, True)


def test_nothing_is_overwritten(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """Neither a file by an export, nor a session by an import."""
    terminal.setenv("SYNCD_URL", server.url)
    terminal.run("chat", room, "--as", "mona", lines="one\n")
    (terminal.home / "mine.txt").write_text("mine")
    refused = terminal.run("export", room, "-o", "mine.txt")
    terminal.run("export", room, "-o", "trip.json")
    exists = terminal.run("import", "trip.json")

    assert (refused.exit_code, "name another file" in refused.err) == (1, True)
    assert (terminal.home / "mine.txt").read_text() == "mine"
    assert (exists.exit_code, "exists" in exists.err) == (1, True)


def test_sessions_here_and_there(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """The server's sessions come with their sizes, the local copies with what is not synced."""
    terminal.run("chat", room, "--as", "mona", "--url", server.url, "--store", "mona.db", lines="one\n")
    terminal.run("chat", "home", "--url", "http://127.0.0.1:1", "--store", "mona.db", "--wait", "0", lines="two\n")
    there = dict(line.split("\t", 1) for line in terminal.run("sessions", "--url", server.url).out.splitlines())
    here = dict(line.split("\t", 1) for line in terminal.run("sessions", "--local", "mona.db").out.splitlines())

    assert there[room].split("\t")[1].endswith("B")
    assert here[room].split("\t")[1] == "–"
    assert here["home"].split("\t")[1] == "1"
