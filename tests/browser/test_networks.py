"""Networks that swallow, cut and come back, tokens that end, clocks that are wrong: the library in bare tabs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from examples.server_process import ServerProcess
from tests.browser.bare import have, links, live, look, on_server, pair, started, synced, write
from tests.browser.chromium import true_in
from tests.browser.conftest import MakeDevice
from tests.harness import Running, mint, serving, until

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
        await true_in(two, "session().presence.everyone().length === 1")
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
        minted.append(mint("user:ana", ttl_s=8.0))  # Renewed at half of it.
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
