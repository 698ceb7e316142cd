"""Tabs of one device: they share a store and a link, and survive whatever happens to each of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Error, Page, WebSocket
from syncd_client import Client

from examples.server_process import ServerProcess
from tests.browser.chromium import Device, frozen, kill, renderer, true_in
from tests.browser.conftest import MakeDevice
from tests.harness import PATIENCE_S, Running, mint, serving, until

#: A link that is silent for one and a half of it is gone. Without being told of it, a client takes 30 s to notice.
_HEARTBEAT_S = 1.0
_NOTICED_S = 20.0
_DAY_MS = 86_400_000
#: A clock that is wrong, for everything that asks what time it is; lengths of time are measured on another one.
_WRONG_CLOCK = """
const now = Date.now;
Date.now = () => now() + OFFSET;
window.Date = class extends Date { constructor(...given) { given.length ? super(...given) : super(Date.now()); } };
""".replace("OFFSET", str(_DAY_MS))
#: Receipts are the server's alone.
_FORGE = """(() => {
  const edit = replica().edit("transcript", (document) => document.getMap("receipts").set("m:x", { seq: 1 }));
  return edit.synced.then(() => "synced", (error) => `${error.name} ${error.code}`);
})()"""


@pytest_asyncio.fixture(loop_scope="session")
async def strict(tmp_path: Path, bare_pages: Path) -> AsyncIterator[Running]:
    """A server that wants tokens."""
    async with serving(tmp_path / "strict.db", console=bare_pages) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def brisk(tmp_path: Path, bare_pages: Path) -> AsyncIterator[Running]:
    """A server in development mode with a fast heartbeat."""
    limits = {"heartbeat_s": _HEARTBEAT_S}
    async with serving(tmp_path / "brisk.db", dev=True, console=bare_pages, limits=limits) as server:
        yield server


async def started(device: Device, **said: object) -> Page:
    """Open a tab with a client of the library in it."""
    tab = await device.tab("/tabs.html")
    await tab.evaluate("(said) => start(said)", said)
    return tab


async def pair(device: Device) -> tuple[Page, Page]:
    """Open two tabs, live; the first one leads."""
    tabs = await started(device), await started(device)
    for tab in tabs:
        await live(tab)
    assert [await look(tab, "leads") for tab in tabs] == [True, False]
    return tabs


async def live(tab: Page) -> None:
    """Wait until a tab's session is live."""
    await true_in(tab, "look().link === 'live'", "a live link")


async def look(tab: Page, what: str) -> object:
    """Return one thing that a tab shows."""
    return await tab.evaluate(f"look().{what}")


async def have(*tabs: Page, texts: Iterable[str]) -> None:
    """Wait until these tabs show exactly these messages, each once."""
    for tab in tabs:
        wanted = json.dumps(sorted(texts))
        await true_in(tab, f"JSON.stringify(texts().sort()) === JSON.stringify({wanted})", wanted)


async def synced(*tabs: Page) -> None:
    """Wait until nothing of these tabs is unsynced, by the server's word."""
    for tab in tabs:
        await true_in(tab, "look().unsynced === 0 && look().link === 'live'", "everything synced")


async def write(tab: Page, *texts: str) -> None:
    """Post messages, which are saved then."""
    for text in texts:
        await tab.evaluate("(text) => write(text)", text)


def links(*tabs: Page) -> list[WebSocket]:
    """Return a list that all links of these tabs go into from now on."""
    made: list[WebSocket] = []
    for tab in tabs:
        tab.on("websocket", lambda link: made.append(link))
    return made


async def on_server(server: Running, tmp_path: Path) -> list[str]:
    """Return the texts that the server has, as a device sees them that never was there."""
    async with Client(server.url, token="dev:eve", store=tmp_path / "eve.db") as eve:
        session = await eve.open("trip")
        await until(lambda: session.status.live, "the session")
        return sorted(view.text for view in session.messages())


# Together


async def test_two_tabs_sync_over_one_link(bare: Running, new_device: MakeDevice) -> None:
    """What each writes the other shows, and both are synced over one socket."""
    ana = await new_device("ana", bare)
    one, two = await ana.tab("/tabs.html"), await ana.tab("/tabs.html")
    made = links(one, two)
    for tab in (one, two):
        await tab.evaluate("start()")
    await asyncio.gather(write(one, "from one"), write(two, "from two"))

    await have(one, two, texts=["from one", "from two"])
    await synced(one, two)
    assert [await look(tab, "leads") for tab in (one, two)] == [True, False]
    assert len(made) == 1


async def test_a_session_goes_live_whatever_other_tabs_say_while_it_is_opened(
    bare: Running, new_device: MakeDevice
) -> None:
    """They say which sessions they have open, and that this is none of them."""
    ana = await new_device("ana", bare)
    one, two = await pair(ana)
    await one.evaluate(
        """(() => {
          const { waiting } = client.store;
          client.store.waiting = (id) => {
            session().presence.update({ at: performance.now() });
            return waiting.call(client.store, id);
          };
        })()"""
    )
    async with asyncio.timeout(PATIENCE_S):
        await two.evaluate("client.open('s').then((s) => s.until(() => s.status.link === 'live' || null))")


async def test_a_tab_that_is_gone_before_its_session_was_opened_is_not_there(
    bare: Running, new_device: MakeDevice
) -> None:
    """The tab with the link opens it for nobody, and closes it again."""
    ana, ben = await new_device("ana", bare), await new_device("ben", bare)
    one, two = await pair(ana)
    # The leader gets to the copy when the tab that wanted it is gone.
    await one.evaluate(
        """(() => {
          const { copy } = client;
          window.asked = 0;
          client.copy = async (session) => {
            if (session === "other") {
              window.asked += 1;
              await new Promise((resolve) => { window.goOn = resolve; });
            }
            return copy.call(client, session);
          };
        })()"""
    )
    await two.evaluate("client.open('other').then((session) => session.presence.update({ here: true }))")
    await true_in(one, "window.asked > 0", "the leader's being asked")
    await two.close()
    await asyncio.sleep(0.5)
    await one.evaluate("window.goOn()")
    other = await started(ben, session="other", token="dev:ben")
    await live(other)
    await asyncio.sleep(0.5)

    assert await other.evaluate("session().presence.everyone().length") == 0


async def test_without_a_server_tabs_merge_and_a_new_one_has_all(bare: Running, new_device: MakeDevice) -> None:
    """With no network at all, two tabs show each other's edits, and one that is opened then shows both."""
    ana = await new_device("ana", bare)
    one, two, three = [await ana.tab("/tabs.html") for _ in range(3)]
    ana.proxy.refusing = True
    ana.proxy.cut()
    for tab in (one, two):
        await tab.evaluate("start()")
    await asyncio.gather(write(one, "a", "b"), write(two, "c", "d"))
    await three.evaluate("start()")

    await have(one, two, three, texts="abcd")
    for tab in (one, two, three):
        await true_in(tab, "look().unsynced === 4 && look().link !== 'live'")


async def test_edits_made_without_a_server_arrive_once(bare: Running, new_device: MakeDevice, tmp_path: Path) -> None:
    """Written in two tabs while there was none, they are there once when there is one, in every tab and elsewhere."""
    ana = await new_device("ana", bare)
    one, two = await pair(ana)
    ana.proxy.refusing = True
    ana.proxy.cut()
    await true_in(two, "look().link !== 'live'")
    await asyncio.gather(write(one, *"abcd"), write(two, *"efgh"))
    ana.proxy.heal()

    await synced(one, two)
    await have(one, two, texts="abcdefgh")
    assert await on_server(bare, tmp_path) == [*"abcdefgh"]


async def test_another_devices_edit_reaches_a_tab_that_does_not_lead(bare: Running, new_device: MakeDevice) -> None:
    """It comes over the leader's link, and shows in all tabs."""
    ana, ben = await new_device("ana", bare), await new_device("ben", bare)
    one, two = await pair(ana)
    other = await started(ben, token="dev:ben")
    await write(other, "from ben")

    await have(two, one, texts=["from ben"])


async def test_each_tab_has_a_place_of_its_own_in_the_presence(bare: Running, new_device: MakeDevice) -> None:
    """Two tabs on one link are two entries to others and to each other; one that closes is gone, the other stays."""
    ana, ben = await new_device("ana", bare), await new_device("ben", bare)
    one, two = await pair(ana)
    other = await started(ben, token="dev:ben")
    await one.evaluate("session().presence.update({ at: 'one' })")
    await two.evaluate("session().presence.update({ at: 'two' })")
    await other.evaluate("session().presence.update({ at: 'ben' })")
    seen = "JSON.stringify(session().presence.everyone().map((entry) => entry.state.at).sort())"

    await true_in(other, f'{seen} === \'["one","two"]\'')
    await true_in(one, f'{seen} === \'["ben","two"]\'')
    await true_in(two, f'{seen} === \'["ben","one"]\'')
    await two.close()
    await true_in(other, f"{seen} === '[\"one\"]'")
    await true_in(one, f"{seen} === '[\"ben\"]'")


# Tabs that die or sleep


async def test_a_leader_killed_in_mid_write_loses_nothing_that_was_saved(
    bare: Running, new_device: MakeDevice, tmp_path: Path
) -> None:
    """What it had called saved is shown and sent by the next, which leads at once."""
    ana = await new_device("ana", bare)
    saved = await ana.collect("saved")
    one, two = await pair(ana)
    pid = await renderer(one)
    assert pid != await renderer(two)
    typing = asyncio.ensure_future(one.evaluate("type('one ')"))
    await until(lambda: len(saved) >= 20, "some promises")
    await kill(one, pid=pid)
    with pytest.raises(Error, match=r"crashed|closed"):
        await typing
    ana.troubles.remove("ana: a tab crashed")
    await write(two, "and on")

    await true_in(two, "look().leads")
    await synced(two)
    texts = await two.evaluate("texts()")
    assert set(saved) <= set(texts)
    assert len(texts) == len(set(texts))
    assert await on_server(bare, tmp_path) == sorted(texts)


async def test_a_leader_that_is_frozen_is_replaced_and_loses_nothing(
    bare: Running, new_device: MakeDevice, tmp_path: Path
) -> None:
    """Another tab takes over and syncs; thawed, the old one leads no more, and what it writes then arrives, too."""
    ana = await new_device("ana", bare)
    one, two = await pair(ana)
    await write(one, "before")
    async with frozen(one):
        await write(two, "meanwhile")
        await true_in(two, "look().leads", "the takeover")
        await synced(two)
    await true_in(one, "!look().leads", "the demotion")
    await write(one, "after")

    await have(one, two, texts=["before", "meanwhile", "after"])
    await synced(one, two)
    assert [await look(tab, "leads") for tab in (one, two)] == [False, True]
    assert await on_server(bare, tmp_path) == ["after", "before", "meanwhile"]


@pytest.mark.timeout(
    240
)  # What the frozen tab was in the middle of asking for keeps the others out for up to a minute.
async def test_a_leader_frozen_in_mid_write_loses_nothing(
    bare: Running, new_device: MakeDevice, tmp_path: Path
) -> None:
    """All that it called saved, before and after it was frozen, is with the server once."""
    ana = await new_device("ana", bare)
    saved = await ana.collect("saved")
    one, two = await pair(ana)
    await one.evaluate("void type('one ')")
    await until(lambda: len(saved) >= 20, "some promises")
    async with frozen(one):
        await asyncio.wait_for(write(two, "meanwhile"), 120)
        await true_in(two, "look().leads", "the takeover")
    frozen_at = len(saved)
    await until(lambda: len(saved) >= frozen_at + 20, "more promises")
    await one.evaluate("stop()")

    await synced(two, one)
    texts = await two.evaluate("texts().sort()")
    assert set(saved) <= set(texts)
    await have(one, texts=texts)
    assert await on_server(bare, tmp_path) == texts


@pytest.mark.parametrize("victim", ["leads", "follows"])
async def test_a_tab_that_dies_before_it_tells_is_not_forgotten(
    bare: Running, new_device: MakeDevice, tmp_path: Path, victim: str
) -> None:
    """What it stored and told nobody of is found in the store by those who live, and sent."""
    ana = await new_device("ana", bare)
    one, two = await pair(ana)
    dies, lives = (one, two) if victim == "leads" else (two, one)
    pid = await renderer(dies)
    ana.proxy.stall(up=True, down=False)  # A leader may not get it out by itself either.
    await dies.evaluate("mute = true")
    await write(dies, "last words")
    assert await look(lives, "texts") == []
    await kill(dies, pid=pid)
    ana.troubles.remove("ana: a tab crashed")
    if victim == "leads":
        ana.proxy.cut()
    ana.proxy.heal()

    await have(lives, texts=["last words"])
    await synced(lives)
    assert await on_server(bare, tmp_path) == ["last words"]


@pytest.mark.parametrize("wakes", ["new Event('resume')", "new Event('visibilitychange')"])
async def test_a_tab_that_wakes_reads_what_it_was_not_told(bare: Running, new_device: MakeDevice, wakes: str) -> None:
    """It slept through edits, an ack, and what others wrote; when it wakes it has them, and says what is synced."""
    ana, ben = await new_device("ana", bare), await new_device("ben", bare)
    one, two = await pair(ana)
    other = await started(ben, token="dev:ben")
    ana.proxy.stall(up=True, down=False)
    await write(two, "own")
    await two.evaluate("deaf = true")
    ana.proxy.heal()
    await synced(one)
    await write(one, "from one")
    await write(other, "from ben")
    await have(one, texts=["own", "from one", "from ben"])
    assert await look(two, "texts") == ["own"]
    assert await look(two, "unsynced") == 1
    await two.evaluate(f"deaf = false; document.dispatchEvent({wakes})")

    await have(two, texts=["own", "from one", "from ben"])
    await synced(two)


async def test_a_page_that_the_browser_keeps_for_the_way_back_does_not_lead(
    bare: Running, new_device: MakeDevice
) -> None:
    """It gives the lead away when it goes into the cache, and has everything when it comes back."""
    ana = await new_device("ana", bare)
    one, two = await pair(ana)
    await one.evaluate("window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    await true_in(two, "look().leads", "the hand-over")
    await write(two, "meanwhile")
    await synced(two)
    assert await look(one, "texts") == []
    await one.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")

    await have(one, texts=["meanwhile"])
    await live(one)
    await write(one, "back")
    await have(two, texts=["meanwhile", "back"])
    await synced(one, two)


async def test_a_session_that_no_tab_has_open_is_sent_all_the_same(
    bare: Running, new_device: MakeDevice, tmp_path: Path
) -> None:
    """Written without a network in a tab that was closed then; the next tab sends it, whatever it has open."""
    ana = await new_device("ana", bare)
    one = await ana.tab("/tabs.html")
    next_one = await ana.tab("/tabs.html")
    ana.proxy.refusing = True
    ana.proxy.cut()
    await one.evaluate("start()")
    await write(one, "in the drawer")
    await one.close()
    ana.proxy.heal()
    await next_one.evaluate("start({ session: 'elsewhere' })")

    await live(next_one)
    async with asyncio.timeout(PATIENCE_S):
        while await on_server(bare, tmp_path) != ["in the drawer"]:
            pass


async def test_a_tab_says_that_its_leader_is_silent(bare: Running, new_device: MakeDevice) -> None:
    """With nothing to send, too: it does not go on calling a link live that nobody serves, until it leads itself."""
    ana = await new_device("ana", bare)
    one, two = await pair(ana)
    await two.evaluate("window.reasons = []; void client.subscribe(() => reasons.push(session().status.reason))")
    async with frozen(one):
        await true_in(two, "look().leads", "the takeover")
    assert "the tab that has the link does not answer" in await two.evaluate("reasons")

    await live(two)
    await live(one)
    assert [await look(tab, "leads") for tab in (one, two)] == [False, True]


async def test_a_leader_that_was_silent_for_a_moment_costs_nobody_their_place(
    bare: Running, new_device: MakeDevice
) -> None:
    """While it does not answer, nobody is there; when it does again, those are who never left."""
    ana, ben = await new_device("ana", bare), await new_device("ben", bare)
    one, two = await pair(ana)
    other = await started(ben, token="dev:ben")
    for tab, name in ((one, "one"), (two, "two"), (other, "ben")):
        await tab.evaluate("(at) => session().presence.update({ at })", name)
    seen = "JSON.stringify(session().presence.everyone().map((entry) => entry.state.at).sort())"
    await true_in(two, f'{seen} === \'["ben","one"]\'')
    await two.evaluate(
        f"window.seen = []; void client.subscribe(() => window.seen.push(`${{look().reason}} ${{{seen}}}`))"
    )
    await one.evaluate("window.mute = true")
    await two.evaluate("void document.dispatchEvent(new Event('resume'))")
    await true_in(two, "client.status.reason.includes('does not answer')", "the silence")
    await one.evaluate("window.mute = false")
    await write(one, "here I am")

    await true_in(two, f'{seen} === \'["ben","one"]\'')
    assert await two.evaluate("window.seen[0]") == "the tab that has the link does not answer []"
    assert [await look(tab, "leads") for tab in (one, two)] == [True, False]


# Networks


async def test_a_tab_that_is_cut_off_by_hand_is_cut_off_alone(bare: Running, new_device: MakeDevice) -> None:
    """It gives the lead up, hears nothing and keeps what it writes; let back, both have everything."""
    ana = await new_device("ana", bare)
    one, two = await pair(ana)
    await one.evaluate("client.network(false)")
    await true_in(two, "look().leads", "the hand-over")
    await write(one, "alone")
    await write(two, "together")
    await synced(two)
    assert await look(one, "texts") == ["alone"]
    assert await look(two, "texts") == ["together"]
    assert await look(one, "link") == "offline"
    await one.evaluate("client.network(true)")

    await have(one, two, texts=["alone", "together"])
    await synced(one, two)


async def test_a_tab_that_is_back_at_once_stays_there(bare: Running, new_device: MakeDevice) -> None:
    """That it left is told late, when it is back: it has its sessions all the same, and one place in each."""
    ana, ben = await new_device("ana", bare), await new_device("ben", bare)
    one = await started(ana, session="elsewhere")
    await live(one)
    two, other = await started(ana), await started(ben, token="dev:ben")
    await live(two)
    await two.evaluate("session().presence.update({ at: 'two' })")
    seen = "JSON.stringify(session().presence.everyone().map((entry) => entry.state.at))"
    texts = []
    for number in range(4):
        await two.evaluate("client.network(false); client.network(true)")
        await live(two)
        await asyncio.sleep(0.3)
        await write(other, text := f"number {number}")
        texts.append(text)
        await have(two, texts=texts)
        await true_in(other, f"{seen} === '[\"two\"]'")
        assert await two.evaluate("session().presence.everyone().length") == 1
    assert [await look(tab, "leads") for tab in (one, two)] == [True, False]


async def test_a_black_hole_is_noticed_and_left(brisk: Running, new_device: MakeDevice) -> None:
    """A link on which nothing passes, and which nobody closes, is given up after a heartbeat and a half."""
    ana = await new_device("ana", brisk)
    one, two = await pair(ana)
    ana.proxy.stall()
    await write(two, "meanwhile")
    for tab in (one, two):
        await true_in(tab, "look().link !== 'live'", "the notice", within_s=_NOTICED_S)
    assert await look(two, "unsynced") == 1
    ana.proxy.cut()
    ana.proxy.heal()

    await synced(one, two)


async def test_a_network_that_swallows_everything_does_not_hold_a_new_link(
    bare: Running, new_device: MakeDevice
) -> None:
    """Connecting has a deadline; after it the status says so, and attempts go on until one gets through."""
    ana = await new_device("ana", bare)
    one = await ana.tab("/tabs.html")
    made = links(one)
    ana.proxy.stall()
    await one.evaluate("start({ timing: { connect: 300 } })")
    await true_in(one, "look().link === 'offline' && look().reason.includes('does not answer')")
    await until(lambda: len(made) >= 2, "another attempt")
    ana.proxy.cut()
    ana.proxy.heal()

    await live(one)


async def test_a_browser_that_goes_offline_is_believed_after_a_look(bare: Running, new_device: MakeDevice) -> None:
    """Its open socket hangs without being closed: a doubt ends it long before the heartbeat, and `online` the wait."""
    ana = await new_device("ana", bare)
    one = await started(ana, timing={"doubt": 200})
    await live(one)
    await ana.offline(True)
    await true_in(one, "look().link !== 'live'", "the notice", within_s=_NOTICED_S)
    await write(one, "offline")
    assert await look(one, "unsynced") == 1
    await ana.offline(False)

    await synced(one)


async def test_a_server_that_is_killed_and_comes_back(
    bare_process: ServerProcess, new_device: MakeDevice, tmp_path: Path
) -> None:
    """`kill -9` in mid-write: what was synced is there, what was not is sent again, and nothing twice."""
    ana = await new_device("ana", bare_process)
    saved = await ana.collect("saved")
    one, two = await pair(ana)
    for tab, name in ((one, "one "), (two, "two ")):
        await tab.evaluate(f"void type('{name}')")
    await until(lambda: len(saved) >= 20, "some promises")
    await bare_process.kill()
    await true_in(two, "look().link !== 'live'")
    killed_at = len(saved)
    await until(lambda: len(saved) >= killed_at + 10, "more promises")
    for tab in (one, two):
        await tab.evaluate("stop()")
    await bare_process.start()

    await synced(one, two)
    texts = await one.evaluate("texts().sort()")
    assert set(saved) <= set(texts)
    await have(two, texts=texts)
    assert await on_server(bare_process, tmp_path) == texts


# Tokens and clocks


async def test_a_token_is_renewed_on_the_link(strict: Running, new_device: MakeDevice) -> None:
    """A function is asked before the token ends; the link goes on through several lives of tokens, by a wrong clock."""
    ana = await new_device("ana", strict)
    minted: list[str] = []

    def fresh() -> str:
        minted.append(mint("user:ana", ttl_s=4.0))  # Renewed at half of it.
        return minted[-1]

    await ana.context.expose_function("fresh", fresh)
    await ana.context.add_init_script(_WRONG_CLOCK)
    one = await ana.tab("/tabs.html")
    made = links(one)
    await one.evaluate("start()")
    await live(one)
    await until(lambda: len(minted) >= 4, "three renewals")
    await write(one, "still here")

    await synced(one)
    assert len(made) == 1
    assert await look(one, "subject") == "user:ana"


async def test_a_token_that_ends_says_so_and_a_fresh_one_goes_on(strict: Running, new_device: MakeDevice) -> None:
    """Without a function the link is refused with what to do; edits are kept, and sent with the token given then."""
    ana = await new_device("ana", strict)
    one = await started(ana, token=mint("user:ana", ttl_s=1.0))
    two = await started(ana, token="")
    for tab in (one, two):
        await true_in(tab, "look().link === 'refused' && look().reason.includes('expired')")
    await write(two, "meanwhile")
    # By the tab that does not lead.
    await two.evaluate("(token) => client.useToken(token)", mint("user:ana"))

    await synced(one, two)


async def test_a_server_that_refuses_the_token_is_not_asked_again_and_again(
    strict: Running, new_device: MakeDevice
) -> None:
    """A bad token is refused once; one of a function is asked for once more, and `retry` asks anew."""
    ana = await new_device("ana", strict)
    asked: list[str] = []

    def fresh() -> str:
        asked.append("bad" if len(asked) < 2 else mint("user:ana"))
        return asked[-1]

    await ana.context.expose_function("fresh", fresh)
    one = await started(ana)
    await true_in(one, "look().link === 'refused'")
    assert len(asked) == 2
    await one.evaluate("client.retry()")

    await live(one)


async def test_a_clock_that_is_a_day_wrong_changes_no_order(bare: Running, new_device: MakeDevice) -> None:
    """Messages stand in the server's order, whatever their authors' clocks say."""
    ana, ben = await new_device("ana", bare), await new_device("ben", bare)
    await ana.context.add_init_script(_WRONG_CLOCK)
    one, other = await started(ana), await started(ben, token="dev:ben")
    assert await one.evaluate("Date.now()") > await other.evaluate("Date.now()") + _DAY_MS // 2
    for tab, text in ((one, "first"), (other, "second"), (one, "third")):
        await write(tab, text)
        await synced(tab)
        for each in (one, other):
            await true_in(each, f"texts().includes({text!r})")

    for tab in (one, other):
        assert await tab.evaluate("texts()") == ["first", "second", "third"]


async def test_a_store_is_one_subjects(bare: Running, new_device: MakeDevice, tmp_path: Path) -> None:
    """Signed in as somebody else, nothing of the first one's is pushed in their name; the reason says what to do."""
    ana = await new_device("ana", bare)
    one = await started(ana)
    await live(one)
    ana.proxy.refusing = True
    ana.proxy.cut()
    await true_in(one, "look().link !== 'live'")
    await write(one, "ana's")
    await one.close()
    ana.proxy.heal()
    one = await started(ana, token="dev:ben")
    await true_in(one, "look().link === 'refused'")
    reason = str(await look(one, "reason"))
    assert "user:ana" in reason
    assert "user:ben" in reason
    assert await on_server(bare, tmp_path) == []
    await one.evaluate("client.useToken('dev:ana')")

    await synced(one)


# The store


async def test_storage_that_is_erased_while_it_is_open(bare: Running, new_device: MakeDevice) -> None:
    """What a tab wrote and was not synced is kept and sent; what others wrote comes again; nothing is half there."""
    ana, ben = await new_device("ana", bare), await new_device("ben", bare)
    one = await started(ana)
    other = await started(ben, token="dev:ben")
    await write(one, "ana's, synced")
    await write(other, "ben's")
    await have(one, texts=["ana's, synced", "ben's"])
    await synced(one)
    ana.proxy.refusing = True
    ana.proxy.cut()
    await true_in(one, "look().link !== 'live'")
    await write(one, "ana's, not yet")
    devtools = await ana.context.new_cdp_session(one)
    await devtools.send("Storage.clearDataForOrigin", {"origin": ana.url, "storageTypes": "indexeddb"})
    await true_in(one, "!texts().includes('ben\\'s')", "the erasure")
    await write(one, "after it")
    ana.proxy.heal()

    await synced(one)
    texts = ["ana's, synced", "ben's", "ana's, not yet", "after it"]
    await have(one, other, texts=texts)
    again = await started(ana)
    await have(again, texts=texts)


async def test_a_newer_version_of_the_page_closes_the_store(bare: Running, new_device: MakeDevice) -> None:
    """It is not held up by tabs of the old one; those say that they are to be loaded again, and take no more edits."""
    ana = await new_device("ana", bare)
    one, two = await pair(ana)
    await write(one, "old")
    newer = await ana.tab("/store.html")
    upgrade = """new Promise((resolve, reject) => {
      const request = indexedDB.open("syncd:syncd", 2);
      request.onsuccess = () => resolve("upgraded");
      request.onerror = () => reject(request.error);
    })"""
    assert await newer.evaluate(upgrade) == "upgraded"

    for tab in (one, two):
        await true_in(tab, "look().client === 'refused' && look().link === 'refused'")
        assert "load the page again" in str(await look(tab, "reason"))
        assert await tab.evaluate("write('lost?').catch((error) => error.code)") == "outdated"
        assert await look(tab, "texts") == ["old"]


async def test_the_browser_is_asked_once_to_keep_what_is_stored(bare: Running, new_device: MakeDevice) -> None:
    """When there is something to lose, and not when a page is looked at."""
    ana = await new_device("ana", bare)
    await ana.context.add_init_script(
        "window.asked = 0;"
        "if (window.StorageManager) StorageManager.prototype.persist = async () => { asked += 1; return false; };"
    )
    one = await started(ana)
    await live(one)
    assert await one.evaluate("asked") == 0
    await write(one, "a", "b")
    assert await one.evaluate("asked") == 1


async def test_a_list_of_sessions_reads_no_copy_twice(bare: Running, new_device: MakeDevice) -> None:
    """What it shows of one is remembered, over reloads, until something is written there; unsynced ones are counted."""
    ana = await new_device("ana", bare)
    await ana.context.add_init_script(_COUNT_READS)
    one = await started(ana)
    await write(one, "first line")
    await synced(one)
    await one.close()
    two = await started(ana, session="elsewhere")
    titles = "client.sessions().then((all) => all.map(({ session, title }) => `${session} ${title}`).sort().join())"
    await live(two)
    for reads in (1, 1):
        assert await two.evaluate(titles) == "elsewhere ,trip first line"
        assert await two.evaluate("reads.filter((session) => session === 'trip').length") == reads
    await two.reload()
    await two.evaluate("start({ session: 'elsewhere' })")
    assert await two.evaluate(titles) == "elsewhere ,trip first line"
    assert await two.evaluate("reads.filter((session) => session === 'trip')") == []
    three = await ana.tab("/tabs.html")
    ana.proxy.refusing = True
    ana.proxy.cut()
    await three.evaluate("start()")
    await write(three, "more")
    await three.close()
    found = await two.evaluate("client.sessions()")

    assert [(each["unsynced"], each["title"]) for each in found if each["session"] == "trip"] == [(1, "first line")]
    assert "trip" in await two.evaluate("reads")


_COUNT_READS = """
window.reads = [];
const { getAll } = IDBIndex.prototype;
IDBIndex.prototype.getAll = function (session) {
  if (this.name === "session" && this.objectStore.name === "row") reads.push(session);
  return getAll.call(this, session);
};
"""


@pytest.mark.parametrize("index", [True, False])
async def test_a_client_searches_all_its_sessions(bare: Running, new_device: MakeDevice, index: bool) -> None:
    """With an index and without one: what is open here, what is not, what another tab has open, as they are now."""
    ana = await new_device("ana", bare)
    one = await started(ana, index=index)
    await write(one, "The tram to Belém")
    two = await started(ana, session="elsewhere", index=index)
    await write(two, "The tram home")
    found = "client.search('tram').then((hits) => hits.map(({ session }) => session).sort().join())"
    for tab in (one, two):
        assert await tab.evaluate(found) == "elsewhere,trip"
    if index:
        await true_in(one, "client.searching().then((search) => search.status.mode === 'index')", "an index")
        await one.evaluate("client.searching().then((search) => search.gather())")
    await write(two, "No tram at night")
    await true_in(one, f"{found}.then((found) => found === 'elsewhere,elsewhere,trip')")
    await two.close()
    assert await one.evaluate(found) == "elsewhere,elsewhere,trip"
    assert await one.evaluate("client.search('tram', { limit: 2 }).then((hits) => hits.length)") == 2
    await one.evaluate("client.forget('elsewhere')")
    assert await one.evaluate(found) == "trip"
    await one.evaluate("client.close()")


async def test_a_search_under_way_does_not_bring_back_what_is_forgotten(bare: Running, new_device: MakeDevice) -> None:
    """It looked which copies there are before one was erased: that one is not opened, and so loaded, again."""
    ana = await new_device("ana", bare)
    one = await started(ana)
    await write(one, "The tram to Belém")
    await one.evaluate(
        """client.open("elsewhere").then(async (session) => {
          await session.post("The tram home");
          await session.synced();
          await session.close();
        })"""
    )
    await one.evaluate(
        """(async () => {
          const { known } = Object.getPrototypeOf(Object.getPrototypeOf(client));
          const [listed, forgotten] = [Promise.withResolvers(), Promise.withResolvers()];
          client.known = async () => {
            const all = await known.call(client);
            listed.resolve(all.length);
            await forgotten.promise;
            return all;
          };
          const opened = [];
          const { open } = Object.getPrototypeOf(client);
          client.open = (session) => (opened.push(session), open.call(client, session));
          const searched = client.search("tram");
          const copies = await listed.promise;
          await client.forget("elsewhere");
          forgotten.resolve();
          await searched;
          window.saw = [copies, ...opened];
        })()"""
    )

    assert await one.evaluate("window.saw") == [2]


# Saved, synced, refused


async def test_somebody_elses_edit_does_not_make_ones_own_synced(bare: Running, new_device: MakeDevice) -> None:
    """Synced is the ack of this edit: while it does not get out, what comes in changes nothing about that."""
    ana, ben = await new_device("ana", bare), await new_device("ben", bare)
    one, two = await pair(ana)
    other = await started(ben, token="dev:ben")
    await live(other)
    ana.proxy.stall(up=True, down=False)
    await two.evaluate("void session().post('mine').then((m) => m.synced()).then(() => { window.acked = true; })")
    await have(one, texts=["mine"])
    await write(other, "theirs")
    await have(one, two, texts=["mine", "theirs"])
    for tab in (one, two):
        assert await look(tab, "unsynced") == 1
    assert not await two.evaluate("window.acked ?? false")
    ana.proxy.heal()

    await synced(one, two)
    await true_in(two, "window.acked")


async def test_a_tab_that_slept_through_a_refusal_does_not_call_it_synced(
    bare: Running, new_device: MakeDevice
) -> None:
    """It was not told what became of its edit; when it wakes it says so, and shows it no longer."""
    ana = await new_device("ana", bare)
    one, two = await pair(ana)
    await two.evaluate("deaf = true")
    await two.evaluate(f"void ({_FORGE}).then((answer) => {{ window.answer = answer; }})")
    await true_in(one, "told.some((change) => change.kind === 'refused')")
    assert await two.evaluate("replica().document('transcript').getMap('receipts').has('m:x')")
    await two.evaluate("deaf = false; document.dispatchEvent(new Event('resume'))")

    await true_in(two, "window.answer === 'NotSynced server_only'")
    await true_in(two, "!replica().document('transcript').getMap('receipts').has('m:x')")


async def test_an_edit_that_is_refused_is_set_aside_in_all_tabs(
    bare: Running, new_device: MakeDevice, tmp_path: Path
) -> None:
    """It leaves the documents of every tab, can be read with its reason, and what was written beside it goes on."""
    ana = await new_device("ana", bare)
    one, two = await pair(ana)
    answer = asyncio.ensure_future(two.evaluate(_FORGE))
    await write(one, "honest one")
    await write(two, "honest two")
    assert await answer == "NotSynced server_only"

    for tab in (one, two):
        await true_in(tab, "told.some((change) => change.kind === 'refused' && change.edit.code === 'server_only')")
        await true_in(tab, "!replica().document('transcript').getMap('receipts').has('m:x')")
        aside = await tab.evaluate("replica().refused().then((edits) => edits.map((edit) => edit.code))")
        assert "server_only" in aside
    await write(two, "afterwards")
    await synced(one, two)
    texts = await one.evaluate("texts().sort()")
    assert {"honest one", "afterwards"} <= set(texts)
    await have(two, texts=texts)
    assert await on_server(bare, tmp_path) == texts
    await one.evaluate("replica().dropRefused()")
    assert await two.evaluate("replica().refused()") == []
