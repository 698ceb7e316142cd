"""Tabs of one device: they share a store and a link, and survive whatever happens to each of them."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Error

from tests.browser.bare import have, links, live, look, on_server, pair, started, synced, write
from tests.browser.chromium import frozen, kill, renderer, true_in
from tests.browser.conftest import MakeDevice
from tests.harness import PATIENCE_S, Running, until

#: Receipts are the server's alone.
_FORGE = """(() => {
  const edit = replica().edit("transcript", (document) => document.getMap("receipts").set("m:x", { seq: 1 }));
  return edit.synced.then(() => "synced", (error) => `${error.name} ${error.code}`);
})()"""


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
    # A tab holds a lock as long as it lives; the leader has its turn with it when it is told that the tab is gone.
    tabs = "navigator.locks.query().then(({ held }) => held.filter(({ name }) => name.includes(':tab:')).length)"
    await true_in(one, f"{tabs}.then((count) => count === 1)", "the leader's being told")
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


# What the frozen tab is in the middle of asking for keeps the others out for a minute.
async def test_a_leader_frozen_in_mid_write_loses_nothing(
    bare: Running, new_device: MakeDevice, tmp_path: Path
) -> None:
    """All that it called saved, before and after it was frozen, is with the server once."""
    ana = await new_device("ana", bare)
    saved = await ana.collect("saved")
    one, two = await pair(ana)
    await one.evaluate("void type('one ')")
    await until(lambda: len(saved) >= 20, "some promises")
    async with frozen(one, once="midWrite()"):
        writing = asyncio.ensure_future(write(two, "meanwhile"))
        await asyncio.wait([writing], timeout=1)
        assert not writing.done()
        await writing
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

    await true_in(one, "!look().leads", "the demotion")
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
    # By themselves: half a second after it was noticed, it would be too late.
    await one.evaluate(
        """(() => {
          window.mute = true;
          new BroadcastChannel("noticed").onmessage = () => { mute = false; void write("here I am"); };
        })()"""
    )
    await two.evaluate(
        f"""(() => {{
          const noticed = new BroadcastChannel("noticed");
          window.seen = [];
          client.subscribe(() => {{
            seen.push(`${{look().reason}} ${{{seen}}}`);
            if (look().reason.includes("does not answer")) noticed.postMessage("");
          }});
          document.dispatchEvent(new Event("resume"));
        }})()"""
    )
    await true_in(two, "window.seen.length > 0", "the silence")
    await have(two, texts=["here I am"])

    await true_in(two, f'{seen} === \'["ben","one"]\'')
    assert await two.evaluate("window.seen[0]") == "the tab that has the link does not answer []"
    assert [await look(tab, "leads") for tab in (one, two)] == [True, False]


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
