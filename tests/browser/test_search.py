"""Search and download in the browser: SQLite in a worker under the server's policy, and everything without it."""

import asyncio
import base64
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from tests.browser.chromium import Device, frozen, kill, renderer, true_in
from tests.browser.conftest import MakeDevice
from tests.harness import PATIENCE_S, Running

#: Indexing waits for SQLite to load.
_INDEX_S = 2 * PATIENCE_S
_MANY = 2_000


async def opened(device: Device, store: str = "search") -> Page:
    """Open a tab that takes part in the search."""
    tab = await device.tab("/search.html")
    await tab.evaluate("(store) => search.start(store)", store)
    return tab


async def becomes(tab: Page, **wanted: object) -> None:
    """Wait for a tab's status."""
    told = json.dumps(wanted)
    said = (
        f"(() => {{ const now = search.status(); return Object.entries({told}).every(([k, v]) => now[k] === v); }})()"
    )
    await true_in(tab, said, f"the status {wanted}", within_s=_INDEX_S)


async def holder(device: Device) -> Page:
    """Open a tab that holds the copy."""
    tab = await opened(device)
    await becomes(tab, mode="index", holds=True)
    return tab


async def set_messages(tab: Page, session: str, texts: Mapping[str, str], **more: object) -> None:
    """Have a tab's session hold messages, id to text."""
    given = [{"id": id, "text": text, **more} for id, text in texts.items()]
    await tab.evaluate("([session, given]) => search.set(session, given)", [session, given])


async def indexed(tab: Page) -> None:
    """Wait until all that a tab has is indexed."""
    await becomes(tab, mode="index")
    assert await tab.evaluate("search.settled()") is True


async def found(tab: Page, query: str, **options: object) -> list[str]:
    """Return the sessions and messages that a search finds."""
    hits = await tab.evaluate("([query, options]) => search.search(query, options)", [query, options])
    return [f"{hit['session']}/{hit['message']}" for hit in hits]


async def finds(tab: Page, query: str, *wanted: str) -> None:
    """Wait until a search that goes to another tab finds this: a busy one is not waited for."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while sorted(got := await found(tab, query)) != sorted(wanted):
        assert asyncio.get_running_loop().time() < deadline, f"{query} finds {got}, not {wanted}"


#: A word every tenth of a second.
_TYPE = """() => {
  let text = "Take the tram";
  window.typing = setInterval(() => {
    text += " on";
    search.set("trip", [{ id: "m1", text, streaming: true }]);
  }, 100);
}"""


async def test_messages_are_found_by_the_tab_that_holds_the_copy(bare: Running, new_device: MakeDevice) -> None:
    """In all sessions or in one, as they are now, and without any report of the page's strict policy."""
    tab = await holder(await new_device("ana", bare))
    await set_messages(tab, "trip", {"m1": "The tram to Belém", "m2": "A museum"})
    await set_messages(tab, "home", {"m1": "No tram here: <b>none</b>"})
    await indexed(tab)

    assert sorted(await found(tab, "tram")) == ["home/m1", "trip/m1"]
    assert await found(tab, "BELE") == ["trip/m1"]
    assert await found(tab, "tram", session="home") == ["home/m1"]
    assert len(await found(tab, "tram", limit=1)) == 1
    hit = (await tab.evaluate("search.search('none')"))[0]
    assert hit["snippet"] == {"text": "No tram here: <b>none</b>", "ranges": [[17, 21]]}
    assert (hit["seq"], hit["by"], hit["at"]) == (1, "user:mona", 1000)
    await set_messages(tab, "trip", {"m1": "By bus", "m2": ""})
    await indexed(tab)
    assert await found(tab, "tram") == ["home/m1"]
    assert [await found(tab, "bus"), await found(tab, "museum")] == [["trip/m1"], []]


async def test_other_tabs_ask_the_one_that_holds_the_copy(bare: Running, new_device: MakeDevice) -> None:
    """They find what it has open, and what they have open themselves is indexed by it."""
    device = await new_device("ana", bare)
    first = await holder(device)
    second = await opened(device)
    await becomes(second, mode="index", holds=False)
    await set_messages(first, "trip", {"m1": "The tram to Belém"})
    await set_messages(second, "home", {"m1": "The tram home"})
    await indexed(first)
    await indexed(second)

    for tab in (first, second):
        await finds(tab, "tram", "home/m1", "trip/m1")


async def test_what_is_being_written_is_indexed_once_it_is_quiet(bare: Running, new_device: MakeDevice) -> None:
    """Not for each token: after two seconds without one. The tab that shows it finds it all the time."""
    device = await new_device("ana", bare)
    first = await holder(device)
    second = await opened(device)
    await becomes(second, mode="index")
    await set_messages(first, "trip", {"m0": "An end"})
    await indexed(first)
    await first.evaluate(_TYPE)

    await true_in(first, "search.search('tram').then((hits) => hits.length === 1)")
    assert await found(second, "tram") == []
    await first.evaluate("clearInterval(typing)")
    await indexed(first)
    await finds(second, "tram", "trip/m1")


async def test_the_next_tab_takes_over_with_nothing_lost(bare: Running, new_device: MakeDevice) -> None:
    """Closed, killed in the middle of indexing, or frozen: what was found before is found, and what came is added."""
    device = await new_device("ana", bare)
    first = await holder(device)
    second, third = await opened(device), await opened(device)
    await set_messages(first, "trip", {"m1": "The tram to Belém"})
    await indexed(first)
    await first.evaluate("search.close()")
    await first.close()
    await becomes(second, mode="index", holds=True)

    assert await found(second, "belem") == ["trip/m1"]
    await set_messages(second, "home", {"m1": "The tram home"})
    await indexed(second)
    pid = await renderer(second)
    await second.evaluate("search.many('lots', 5000)")
    await set_messages(third, "late", {"m1": "The tram was late"})
    await kill(second, pid=pid)
    assert device.troubles == ["ana: a tab crashed"]
    device.troubles.clear()
    await becomes(third, mode="index", holds=True)
    await indexed(third)
    assert sorted(await found(third, "tram")) == ["home/m1", "late/m1", "trip/m1"]


async def test_a_frozen_holder_is_not_waited_for(bare: Running, new_device: MakeDevice) -> None:
    """Others go through what they have themselves, say so, and ask again when it is awake."""
    device = await new_device("ana", bare)
    first = await holder(device)
    second = await opened(device)
    await set_messages(first, "trip", {"m1": "The tram to Belém"})
    await set_messages(second, "home", {"m1": "The tram home"})
    await indexed(first)
    await indexed(second)
    async with frozen(first):
        assert await found(second, "tram") == ["home/m1"]
        await becomes(second, mode="scan", code="gone")

    await true_in(second, "search.search('belem').then((hits) => hits.length === 1)", within_s=_INDEX_S)
    await becomes(second, mode="index")


async def test_files_that_are_in_use_are_waited_for(bare: Running, new_device: MakeDevice) -> None:
    """A new leader whose predecessor still has them asks that one meanwhile, takes nothing away, and has them next."""
    device = await new_device("ana", bare)
    first = await holder(device)
    await set_messages(first, "trip", {"m1": "The tram to Belém"})
    await indexed(first)
    second = await device.tab("/search.html")
    await second.evaluate("search.start('search', true)")
    await becomes(second, mode="index", holds=False)
    await finds(second, "belem", "trip/m1")
    await first.close()

    await becomes(second, mode="index", holds=True)
    assert await found(second, "belem") == ["trip/m1"]


async def test_a_damaged_copy_is_made_anew(bare: Running, new_device: MakeDevice) -> None:
    """All that the tabs have open is in it again, by itself; the same for one whose files are gone."""
    device = await new_device("ana", bare)
    tab = await holder(device)
    await tab.evaluate("search.many('lots', 500)")
    await set_messages(tab, "trip", {"m1": "The tram to Belém"})
    await indexed(tab)
    await tab.evaluate("search.close()")
    assert "unique499" in await tab.evaluate("search.files('search', true)")
    assert "unique499" not in await tab.evaluate("search.files()")
    await tab.close()

    tab = await holder(device)
    await tab.evaluate("search.many('lots', 500)")
    await indexed(tab)
    assert await found(tab, "unique499") == ["lots/m499"]
    assert await found(tab, "belem") == []
    await set_messages(tab, "trip", {"m1": "The tram to Belém"})
    await indexed(tab)
    assert await found(tab, "belem") == ["trip/m1"]
    assert device.troubles == []


async def test_a_copy_that_fails_while_it_is_used_is_made_anew(bare: Running, new_device: MakeDevice) -> None:
    """The disk errs once, in mid-write: all that the tabs have open is in it again, and the search goes on by it."""
    device = await new_device("ana", bare)
    await device.context.route("**/assets/worker-*.js", _with_bad_disk)
    first = await holder(device)
    second = await opened(device)
    await becomes(second, mode="index", holds=False)
    await first.evaluate("search.many('lots', 500)")
    await set_messages(second, "trip", {"m1": "The tram to Belém"})
    await indexed(first)
    await indexed(second)
    assert await first.evaluate(_ERR, "write") == 0
    await set_messages(first, "home", {"m1": "The tram home"})
    await indexed(first)
    assert await first.evaluate(_ERR, "") == 1, "the disk never erred"

    for tab in (first, second):
        await becomes(tab, mode="index")
        await finds(tab, "tram", "home/m1", "trip/m1")
        await finds(tab, "unique499", "lots/m499")


async def _with_bad_disk(route: Any) -> None:
    """Answer with the worker, on a disk that errs when it is told to."""
    response = await route.fetch()
    await route.fulfill(response=response, body=_BAD_DISK + await response.text())


_BAD_DISK = """
let erring = "", erred = 0;
const orders = new BroadcastChannel("disk");
orders.onmessage = ({ data }) => { erring = data; orders.postMessage(erred); };
const { write } = FileSystemSyncAccessHandle.prototype;
FileSystemSyncAccessHandle.prototype.write = function (...given) {
  if (erring !== "write") return write.apply(this, given);
  erring = "";
  erred += 1;
  throw new DOMException("the disk erred", "InvalidStateError");
};
"""
#: Have it err in this next time; returns how often it did before.
_ERR = """(what) => new Promise((resolve) => {
  const orders = new BroadcastChannel("disk");
  orders.onmessage = ({ data }) => { orders.close(); resolve(data); };
  orders.postMessage(what);
})"""


async def test_what_is_indexed_is_not_indexed_again(bare: Running, new_device: MakeDevice) -> None:
    """The next visit only asks whether all is there, and puts none of the messages in again."""
    device = await new_device("ana", bare)
    tab = await holder(device)
    await tab.evaluate(f"search.many('lots', {_MANY})")
    await indexed(tab)
    assert await found(tab, "unique1777") == ["lots/m1777"]
    assert len(await found(tab, "lorem dol")) == 50
    assert (await tab.evaluate("search.asked()"))["put"] > 0
    await tab.evaluate("search.close()")
    await tab.close()
    tab = await holder(device)
    await tab.evaluate(f"search.many('lots', {_MANY})")
    await indexed(tab)

    assert await found(tab, "unique1777") == ["lots/m1777"]
    assert {"offer", "put"}.isdisjoint(await tab.evaluate("search.asked()"))


async def test_without_a_file_system_messages_are_gone_through(bare: Running, new_device: MakeDevice) -> None:
    """As in a private window: the status says why, and everything this tab has is found; so it is without a worker."""
    device = await new_device("ana", bare)
    await device.context.route("**/assets/worker-*.js", _without_opfs)
    tab = await opened(device)
    await becomes(tab, mode="scan", code="no-opfs")
    await set_messages(tab, "trip", {"m1": "The tram to Belém", "m2": "A tramway"})

    assert await tab.evaluate("search.settled()") is False
    assert await found(tab, "tram") == ["trip/m2", "trip/m1"]
    assert await found(tab, "bel") == ["trip/m1"]
    await tab.evaluate(f"search.many('lots', {_MANY})")
    assert await found(tab, "unique1777") == ["lots/m1777"]
    await tab.close()
    await device.context.route("**/assets/worker-*.js", lambda route: route.abort())
    tab = await opened(device)
    await becomes(tab, mode="scan", code="failed")
    await set_messages(tab, "trip", {"m1": "The tram to Belém"})
    assert await found(tab, "tram") == ["trip/m1"]


async def test_a_policy_without_webassembly_is_said(bare: Running, new_device: MakeDevice) -> None:
    """What counts is the policy that the worker's own file came with; a search goes through the messages then."""

    async def strictly(route: Any) -> None:
        response = await route.fetch()
        policy = response.headers["content-security-policy"]
        assert "'wasm-unsafe-eval'" in policy
        strict = policy.replace(" 'wasm-unsafe-eval'", "")
        await route.fulfill(response=response, headers={**response.headers, "content-security-policy": strict})

    device = await new_device("ana", bare)
    await device.context.route("**/assets/worker-*.js", strictly)
    tab = await opened(device)
    await becomes(tab, mode="scan", code="no-wasm")
    await set_messages(tab, "trip", {"m1": "The tram to Belém"})

    assert await found(tab, "tram") == ["trip/m1"]
    assert all("Content Security Policy" in trouble for trouble in device.troubles)
    device.troubles.clear()


async def test_the_tab_that_leads_a_client_holds_the_copy(bare: Running, new_device: MakeDevice) -> None:
    """With real sessions: what is posted in any tab is found in all, also by the next leader, and can be downloaded."""
    device = await new_device("ana", bare)
    first = await device.tab("/search.html")
    await first.evaluate("search.startClient()")
    await becomes(first, mode="index", holds=True)
    second = await device.tab("/search.html")
    await second.evaluate("search.startClient()")
    await becomes(second, mode="index", holds=False)
    assert [await tab.evaluate("search.leads()") for tab in (first, second)] == [True, False]
    await second.evaluate("search.post('The tram to Belém')")
    await indexed(second)

    for tab in (first, second):
        await true_in(tab, "search.search('belem').then((hits) => hits.length === 1 && hits[0].by === 'user:mona')")
    await first.close()
    await becomes(second, mode="index", holds=True)
    await second.evaluate("search.post('The tram home')")
    await indexed(second)
    assert len(await found(second, "tram")) == 2
    data = base64.b64decode(await second.evaluate("search.download('trip')"))
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(data)
        texts = database.execute('SELECT seq, "by", text FROM messages ORDER BY seq').fetchall()
        receipts = database.execute("SELECT count(*) FROM receipts WHERE kind = 'message'").fetchone()
    assert texts == [(1, "user:mona", "The tram to Belém"), (2, "user:mona", "The tram home")]
    assert receipts == (2,)


async def _without_opfs(route: Any) -> None:
    """Answer with the worker, in a browser that does not let it have files."""
    response = await route.fetch()
    refuse = "navigator.storage.getDirectory = () => Promise.reject(new DOMException('not here', 'SecurityError'));\n"
    await route.fulfill(response=response, body=refuse + await response.text())


async def test_a_removed_session_leaves_nothing(bare: Running, new_device: MakeDevice) -> None:
    """Neither a hit nor a word in the files."""
    tab = await holder(await new_device("ana", bare))
    await set_messages(tab, "secret", {"m1": "xylophone"})
    await set_messages(tab, "trip", {"m1": "zeppelin"})
    await indexed(tab)
    await tab.evaluate("search.remove('secret')")

    assert [await found(tab, "xylophone"), await found(tab, "zeppelin")] == [[], ["trip/m1"]]
    await tab.evaluate("search.close()")
    files = await tab.evaluate("search.files()")
    assert "zeppelin" in files
    assert "xylophone" not in files


async def test_a_download_holds_everything(bare: Running, new_device: MakeDevice, tmp_path: Path) -> None:
    """It opens in Python: messages with their parts and places, runs, commands, receipts, reads and the state."""
    tab = await (await new_device("ana", bare)).tab("/search.html")
    await tab.evaluate("() => { search.start(); }")
    await tab.evaluate("(content) => search.write(content)", _SESSION)
    file = tmp_path / "trip.sqlite"
    file.write_bytes(base64.b64decode(await tab.evaluate("search.download('trip')")))

    with closing(sqlite3.connect(file)) as database:
        database.row_factory = sqlite3.Row

        def rows(sql: str) -> list[dict[str, Any]]:
            return [dict(row) for row in database.execute(sql)]

        assert rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
        assert rows("PRAGMA user_version") == [{"user_version": 1}]
        assert rows("SELECT * FROM session") == [{"id": "trip", "exported_at": 1_764_000_000_000}]
        assert rows('SELECT id, seq, "by", at, role, text FROM messages ORDER BY seq') == [
            {"id": "m2", "seq": None, "by": None, "at": None, "role": "assistant", "text": ""},
            {"id": "m1", "seq": 1, "by": "user:mona", "at": 5, "role": "user", "text": "Two days\n\nin Lisbon?"},
        ]
        (message,) = rows("SELECT * FROM messages WHERE id = 'm1'")
        assert json.loads(message["author"]) == {"kind": "user", "name": "Mona"}
        assert json.loads(message["to"]) == ["agent:planner"]
        assert json.loads(message["content"])["odd"] == "kept"
        assert [
            (row["position"], row["type"], row["text"]) for row in rows("SELECT * FROM parts WHERE message = 'm1'")
        ] == [
            (0, "text", "Two days"),
            (1, "reasoning", "hm"),
            (2, "text", "in Lisbon?"),
        ]
        assert json.loads(rows("SELECT content FROM parts WHERE message = 'm2'")[0]["content"])["output"] == {
            "ok": True
        }
        (run,) = rows("SELECT run, attempt, agent, status, message, started_at, task FROM runs")
        assert run == {
            "run": "r1", "attempt": 2, "agent": "agent:planner", "status": "completed", "message": "m1",
            "started_at": 7, "task": None,
        }  # fmt: skip
        (command,) = rows('SELECT id, seq, "by", outcome, kind, target, target_id, payload FROM commands')
        assert command == {
            "id": "c1", "seq": 2, "by": "user:ben", "outcome": "accepted", "kind": "steer", "target": "run",
            "target_id": "r1", "payload": '{"text":"faster"}',
        }  # fmt: skip
        kinds = {row["key"]: row["kind"] for row in rows("SELECT key, kind FROM receipts")}
        assert kinds == {"schema": "schema", "m:m1": "message", "c:c1": "command", "r:r1.0": "run", "a:0": "assignment"}
        assert rows("SELECT * FROM reads") == [{"subject": "user:ben", "seq": 1, "at": 6}]
        assert rows("SELECT * FROM state") == [{"name": "screen", "content": '{"tab":"map"}'}]


_SESSION: dict[str, dict[str, dict[str, Any]]] = {
    "transcript": {
        "messages": {
            "m1": {
                "$map": {
                    "role": "user",
                    "author": {"kind": "user", "name": "Mona"},
                    "created_at": 4,
                    "to": ["agent:planner"],
                    "odd": "kept",
                    "parts": {
                        "$array": [
                            {"$map": {"id": "p1", "type": "text", "text": {"$text": "Two "},
                                      "more": {"$array": [{"$text": "da"}, {"$text": "ys"}]}}},
                            {"$map": {"id": "p2", "type": "reasoning", "text": {"$text": "hm"}}},
                            {"$map": {"id": "p3", "type": "text", "text": {"$text": "in Lisbon?"}}},
                        ]
                    },
                }
            },
            "m2": {
                "$map": {
                    "role": "assistant",
                    "run": "r1",
                    "attempt": 2,
                    "parts": {
                        "$array": [{"$map": {"id": "p4", "type": "tool", "name": "look", "output": {"ok": True}}}]
                    },
                }
            },
        },
        "runs": {
            "r1_2": {
                "$map": {"run": "r1", "attempt": 2, "agent": "agent:planner", "status": "completed", "message": "m1",
                         "started_at": 7}
            }
        },
        "commands": {"c1": {"kind": "steer", "run": "r1", "at": 8, "payload": {"text": "faster"}}},
        "receipts": {
            "schema": {"version": 1, "at": 1},
            "m:m1": {"seq": 1, "by": "user:mona", "at": 5},
            "c:c1": {"seq": 2, "by": "user:ben", "at": 9, "outcome": "accepted"},
            "r:r1.0": {"at": 5, "lease": "queued", "attempt": 0, "since": 1},
            "a:0": {"to": "user:ben", "by": "user:mona", "at": 10, "command": "c0"},
        },
        "reads": {"user:ben": {"seq": 1, "at": 6}},
    },
    "state": {"screen": {"tab": "map"}},
}  # fmt: skip
