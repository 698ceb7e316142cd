"""The harness itself: what it breaks is broken, what it kills is dead, and what it collects was promised."""

import asyncio

import pytest
from playwright.async_api import Error

from tests.browser.chromium import frozen, kill, renderer, true_in
from tests.browser.conftest import MakeDevice
from tests.harness import Running, until


async def test_a_bare_page_runs_under_the_servers_policy(bare: Running, new_device: MakeDevice) -> None:
    """Of the server's own origin: it may open a link, and its policy refuses code made of strings, which is noticed."""
    device = await new_device("ana", bare)
    tab = await device.tab("/store.html")

    assert await tab.evaluate("window.link()") == "open"
    assert device.troubles == []
    refused = await tab.evaluate(
        "() => { try { new Worker('/assets/store.js'); } catch (error) { return error.name; } }"
    )
    assert refused == "TypeError"
    await until(
        lambda: any("report: require-trusted-types-for" in trouble for trouble in device.troubles), "the report"
    )
    device.troubles.clear()


async def test_tabs_of_a_device_share_storage_and_devices_do_not(bare: Running, new_device: MakeDevice) -> None:
    """Two tabs are one context, two devices are two."""
    ana, ben = await new_device("ana", bare), await new_device("ben", bare)
    one, two, other = await ana.tab("/store.html"), await ana.tab("/store.html"), await ben.tab("/store.html")
    await one.evaluate("window.keep(1)")

    assert await two.evaluate("window.count()") == 1
    assert await other.evaluate("window.count()") == 0


async def test_a_killed_tab_is_dead_and_its_neighbour_lives(bare: Running, new_device: MakeDevice) -> None:
    """In mid-write, by SIGKILL of its own process; what it had promised is there for the other tab."""
    ana = await new_device("ana", bare)
    kept = await ana.collect("kept")
    victim, witness = await ana.tab("/store.html"), await ana.tab("/store.html")
    pid = await renderer(victim)
    assert pid != await renderer(witness)
    writing = asyncio.ensure_future(victim.evaluate("(async () => { for (let n = 0; ; n++) await window.keep(n); })()"))
    await until(lambda: len(kept) >= 20, "some promises")
    await kill(victim, pid=pid)
    with pytest.raises(Error, match=r"crashed|closed"):
        await writing

    assert await witness.evaluate("window.count()") >= len(kept) >= 20
    assert ana.troubles == ["ana: a tab crashed"]
    ana.troubles.clear()


async def test_a_frozen_tab_does_nothing_and_goes_on(bare: Running, new_device: MakeDevice) -> None:
    """It answers nothing while its neighbour works, and then everything."""
    ana = await new_device("ana", bare)
    sleeper, other = await ana.tab("/store.html"), await ana.tab("/store.html")
    async with frozen(sleeper):
        asked = asyncio.ensure_future(sleeper.evaluate("1 + 1"))
        await other.evaluate("window.keep(7)")
        await asyncio.wait([asked], timeout=0.3)
        assert not asked.done()

    assert await asked == 2
    assert await sleeper.evaluate("window.count()") == 1


async def test_a_network_breaks_for_one_device_alone(bare: Running, new_device: MakeDevice) -> None:
    """A cut is seen at once, what is refused fails, what is stalled hangs; the other device notices nothing."""
    ana, ben = await new_device("ana", bare), await new_device("ben", bare)
    here, there = await ana.tab("/store.html"), await ben.tab("/store.html")
    watch = """() => {
      const socket = new WebSocket(`ws://${location.host}/v1/sync`, "syncd.v1");
      socket.onopen = () => { window.state = "open"; };
      socket.onclose = (event) => { window.state = `closed ${event.code}`; };
    }"""
    for tab in (here, there):
        await tab.evaluate(watch)
        await true_in(tab, "window.state === 'open'")
    ana.proxy.cut()
    await true_in(here, "window.state === 'closed 1006'")
    ana.proxy.refusing = True
    assert await here.evaluate("window.link()") == "closed 1006"
    ana.proxy.heal()
    ana.proxy.stall()
    hanging = asyncio.ensure_future(here.evaluate("window.link()"))
    await asyncio.wait([hanging], timeout=0.3)
    assert not hanging.done()
    ana.proxy.heal()

    assert await hanging == "open"
    assert await there.evaluate("window.state") == "open"
