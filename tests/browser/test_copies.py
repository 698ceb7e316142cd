"""Copies on a device: erased, taken away by a newer page, asked to be kept, listed, and searched together."""

import pytest

from tests.browser.bare import have, live, look, pair, started, synced, write
from tests.browser.chromium import true_in
from tests.browser.conftest import MakeDevice
from tests.harness import Running


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
