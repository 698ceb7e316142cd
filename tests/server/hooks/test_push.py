"""Web Push: what reaches which device, against a push service on a socket."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncd.core.grant import Grant
from syncd.core.messages import Json
from syncd.server.hooks.channel import Gone, Notice, Retry, Sent
from syncd.server.hooks.channels.push import PAYLOAD_BYTES_MAX, TTL_S, PushChannel
from syncd.server.hooks.channels.vapid import TOKEN_TTL_S, Vapid
from syncd.server.hooks.devices import UNUSED_S, BadSubscription, Devices
from syncd.server.hooks.targets import Guard, Outbound, Reply
from syncd.store.session_log import SqliteSessionLog
from tests.harness import until
from tests.server.hooks.push_service import Browser, PushService, push_service

LOOPBACK = ("127.0.0.0/8",)


class Stage:
    """A channel, the devices it tells, and the service it tells them through."""

    def __init__(self, log: SqliteSessionLog, service: PushService, place: Path) -> None:
        self.now = time.time()
        self.revoked: set[str] = set()
        self.service = service
        self.log = log
        self.guard = Guard(LOOPBACK)
        self.outbound = Outbound(self.guard)
        self.vapid = Vapid.load(place / "key.pem", contact="mailto:ops@example.com", clock=lambda: self.now)
        self.devices = Devices(
            log.subscriptions, self.vapid.public_key, self.guard, 10, self._is_revoked, clock=lambda: self.now
        )
        self.channel = PushChannel(self.devices, self.vapid, self.outbound, clock=lambda: self.now)

    def _is_revoked(self, ids: Any, subject: str, issued_at: float) -> bool:
        return subject in self.revoked or not self.revoked.isdisjoint(ids)

    async def device(
        self, name: str, subject: str = "user:mona", *, sessions: str = "*", token_id: str = "t1", via: str = ""
    ) -> Browser:
        """Register a browser, used a second later than those before."""
        self.now += 1
        browser = self.service.browser(f"{subject.replace(':', '-')}-{name}")
        await self.use(name, browser, subject, sessions=sessions, token_id=token_id, via=via)
        return browser

    async def use(
        self,
        name: str,
        browser: Browser,
        subject: str = "user:mona",
        *,
        sessions: str = "*",
        token_id: str = "t1",
        via: str = "",
    ) -> None:
        """Say that a browser is used."""
        grant = Grant(subject, "", "user", ((sessions, frozenset()),), token_id=token_id, via=(via,) if via else ())
        given = browser.json()
        await self.devices.register(grant, name, endpoint=given["endpoint"], **given["keys"], name=name)

    async def names(self, subject: str = "user:mona") -> list[str]:
        """The devices a person has, the last used first."""
        return [one.device for one in await self.devices.of(subject)]


@asynccontextmanager
async def staged(place: Path) -> AsyncIterator[Stage]:
    log = SqliteSessionLog(place / "log.db")
    await log.open()
    async with push_service() as service:
        stage = Stage(log, service, place)
        try:
            yield stage
        finally:
            await stage.outbound.close()
            await log.close()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Everything but a device."""
    async with staged(tmp_path) as here:
        yield here


def notice(id: str = "msg_1", *, options: Mapping[str, Json] | None = None, **changes: Any) -> Notice:
    """A notice to Mona that a run is over."""
    plain = Notice(
        id=id,
        rule="done",
        channel="push",
        target="user:mona",
        subject="user:mona",
        session="trip",
        type="run.ended",
        events=[{"id": "evt_1", "session": "trip"}],
        title="planner is done",
        text="Three days in Lisbon: …",
        path="/s/trip?m=m1",
        tag="trip/r1",
        attempt=1,
        options=options or {},
    )
    return replace(plain, **changes)


async def test_a_device_is_told_what_the_push_service_cannot_read(stage: Stage) -> None:
    """Encrypted for it alone, signed by this server, kept a day, replacing what was not delivered yet."""
    phone = await stage.device("phone")

    assert await stage.channel.send(notice()) == Sent()
    [came] = stage.service.to(phone)
    assert phone.read(came.body) == {
        "id": "msg_1",
        "type": "run.ended",
        "session": "trip",
        "title": "planner is done",
        "text": "Three days in Lisbon: …",
        "path": "/s/trip?m=m1",
        "tag": "trip/r1",
    }
    assert b"Lisbon" not in came.body
    assert came.headers["Content-Encoding"] == "aes128gcm"
    assert came.headers["TTL"] == str(TTL_S)
    assert came.headers["Urgency"] == "normal"
    assert len(came.headers["Topic"]) == 32
    claims = stage.service.check(came, stage.vapid.public_key)
    assert claims == {
        "aud": stage.service.url,
        "exp": int(stage.now) + TOKEN_TTL_S,
        "sub": "mailto:ops@example.com",
    }


@pytest.mark.parametrize(
    ("type", "urgency"), [("approval.requested", "high"), ("run.ended", "normal"), ("digest", "low")]
)
async def test_what_waits_for_somebody_is_urgent(stage: Stage, type: str, urgency: str) -> None:
    """A phone that saves its battery shows that at once, and a digest when it is awake anyway."""
    phone = await stage.device("phone")
    await stage.channel.send(notice(type=type))

    assert stage.service.to(phone)[0].headers["Urgency"] == urgency


async def test_one_topic_for_one_tag(stage: Stage) -> None:
    """The push service replaces what has the same, and a topic says nothing of the session."""
    phone = await stage.device("phone")
    for id, tag in (("msg_1", "a"), ("msg_2", "a"), ("msg_3", "b")):
        await stage.channel.send(notice(id, tag=tag))
    first, second, third = [came.headers["Topic"] for came in stage.service.to(phone)]

    assert first == second != third


async def test_a_person_is_told_once_on_the_device_last_used(stage: Stage) -> None:
    """Not on each. Whatever was used last, not what was registered last."""
    laptop, phone = await stage.device("laptop"), await stage.device("phone")
    await stage.channel.send(notice("msg_1"))
    stage.now += 1
    await stage.use("laptop", laptop)
    await stage.channel.send(notice("msg_2", tag="trip/r2"))

    assert [told["id"] for told in stage.service.taken(phone)] == ["msg_1"]
    assert [told["id"] for told in stage.service.taken(laptop)] == ["msg_2"]
    assert await stage.names() == ["laptop", "phone"]


async def test_a_rule_may_tell_every_device(stage: Stage) -> None:
    """With `devices = "all"`."""
    laptop, phone = await stage.device("laptop"), await stage.device("phone")

    assert await stage.channel.send(notice(options={"devices": "all"})) == Sent()
    assert (len(stage.service.to(phone)), len(stage.service.to(laptop))) == (1, 1)


async def test_what_was_read_elsewhere_is_withdrawn_where_it_was_shown(stage: Stage) -> None:
    """From the one device that was told, once; the one where it was read hears nothing."""
    laptop, phone = await stage.device("laptop"), await stage.device("phone")
    await stage.channel.send(notice())
    await stage.channel.withdraw(notice())
    await stage.channel.withdraw(notice())

    assert stage.service.taken(phone)[1:] == [{"withdraw": "trip/r1"}]
    assert stage.service.to(laptop) == []
    told, withdrawn = stage.service.to(phone)
    assert told.headers["Topic"] == withdrawn.headers["Topic"]


async def test_a_later_notice_stays_when_the_one_it_replaced_is_read(stage: Stage) -> None:
    """Messages of a session replace each other where they are shown; the newest is not read with an older one."""
    phone = await stage.device("phone")
    older, newer = notice("msg_1", tag="s:trip"), notice("msg_2", tag="s:trip")
    await stage.channel.send(older)
    await stage.channel.send(newer)
    await stage.channel.withdraw(older)

    assert [told["id"] for told in stage.service.taken(phone)] == ["msg_1", "msg_2"]
    await stage.channel.withdraw(newer)
    assert stage.service.taken(phone)[2:] == [{"withdraw": "s:trip"}]


async def test_nothing_is_withdrawn_where_a_push_has_to_show_something(stage: Stage) -> None:
    """Safari forgets a subscription after pushes that show nothing; there it stays until the session is opened."""
    stage.guard.check_url("https://web.push.apple.com/abc")
    safari = Browser("https://web.push.apple.com/abc")
    await stage.use("mac", safari)
    [one] = await stage.devices.of("user:mona")
    await stage.log.subscriptions.note(one, "trip/r1", "msg_1", "trip", 1)
    posted = stage.outbound.post
    asked: list[str] = []

    async def post(url: str, **rest: Any) -> Any:
        asked.append(url)
        return await posted(url, **rest)

    stage.outbound.post = post  # type: ignore[method-assign]
    await stage.channel.withdraw(notice())

    assert asked == []


@pytest.mark.parametrize("status", [404, 410])
async def test_a_device_that_is_gone_is_forgotten_and_the_next_one_told(stage: Stage, status: int) -> None:
    """So a person with a new phone is told on the laptop, and the old phone costs one request, once."""
    laptop, phone = await stage.device("laptop"), await stage.device("phone")
    stage.service.answer(phone, status)

    assert await stage.channel.send(notice()) == Sent()
    assert [told["id"] for told in stage.service.taken(laptop)] == ["msg_1"]
    assert await stage.names() == ["laptop"]


async def test_without_a_device_it_is_gone(stage: Stage) -> None:
    """That is said, so that a rule may go on to another channel; nothing waits for a device that may never come."""
    assert isinstance(await stage.channel.send(notice()), Gone)
    phone = await stage.device("phone")
    stage.service.answer(phone, 410)
    assert isinstance(await stage.channel.send(notice()), Gone)
    assert await stage.names() == []


async def test_one_that_subscribed_anew_meanwhile_is_kept(stage: Stage) -> None:
    """What is gone is the old endpoint."""
    old = await stage.device("phone")
    [before] = await stage.devices.of("user:mona")
    await stage.use("phone", stage.service.browser("new"))

    assert not await stage.log.subscriptions.drop("user:mona", "phone", endpoint=old.endpoint)
    [after] = await stage.devices.of("user:mona")
    assert after.endpoint != before.endpoint


@pytest.mark.parametrize(
    ("status", "headers", "after_s"),
    [
        (429, {"Retry_After": "120"}, 120.0),
        (429, {}, None),
        (503, {"Retry_After": "7"}, 7.0),
        (500, {}, None),
        (400, {}, None),
        (403, {}, None),
        (302, {"Location": "https://example.com/"}, None),
    ],
)
async def test_what_may_pass_is_tried_again(
    stage: Stage, status: int, headers: dict[str, str], after_s: float | None
) -> None:
    """When the service said to, if it did; on this device, which is kept, and on no other. No redirect is followed."""
    laptop, phone = await stage.device("laptop"), await stage.device("phone")
    stage.service.answer(phone, status, **headers)

    assert await stage.channel.send(notice()) == Retry(after_s, f"the push service answered {status}")
    assert stage.service.to(laptop) == []
    assert await stage.names() == ["phone", "laptop"]
    assert await stage.channel.send(notice(attempt=2)) == Sent()
    assert len(stage.service.taken(phone)) == 1


async def test_a_service_that_cannot_be_reached_is_tried_again(stage: Stage) -> None:
    """And the reason holds no address: a device's is a secret."""
    await stage.use("phone", Browser("http://127.0.0.1:1/push/secret"))
    result = await stage.channel.send(notice())

    assert isinstance(result, Retry)
    assert "secret" not in result.reason
    assert "127" not in result.reason
    assert await stage.names() == ["phone"]


async def test_a_device_is_not_told_twice_of_one_notice(stage: Stage) -> None:
    """A later attempt, because another device failed or the server died before it knew, goes on where it stood."""
    laptop, phone = await stage.device("laptop"), await stage.device("phone")
    everywhere = notice(options={"devices": "all"})
    stage.service.answer(laptop, 503)

    assert isinstance(await stage.channel.send(everywhere), Retry)
    assert await stage.channel.send(replace(everywhere, attempt=2)) == Sent()
    assert (len(stage.service.to(phone)), len(stage.service.taken(laptop))) == (1, 1)
    # Told on the phone; used since, the laptop is first. The same notice again is no second one.
    await stage.channel.send(notice("msg_2", tag="trip/r2"))
    stage.now += 1
    await stage.use("laptop", laptop)
    assert await stage.channel.send(notice("msg_2", tag="trip/r2", attempt=2)) == Sent()
    assert (len(stage.service.to(phone)), len(stage.service.taken(laptop))) == (2, 1)


async def test_what_is_too_large_is_sent_without_its_text(stage: Stage) -> None:
    """A push service may take less than others; who was told by the title opens the session."""
    phone = await stage.device("phone")
    stage.service.answer(phone, 413)

    assert await stage.channel.send(notice()) == Sent()
    assert [told["text"] for told in stage.service.taken(phone)] == [""]
    stage.service.answer(phone, 413, 413)
    assert await stage.channel.send(notice("msg_2")) == Retry(None, "the push service answered 413")


@pytest.mark.parametrize("text", ["x" * 10_000, "ä" * 5_000, "🦊" * 3_000, '"\\\n' * 4_000, "\x00" * 4_000])
async def test_a_long_text_is_cut_to_what_a_push_holds(stage: Stage, text: str) -> None:
    """At a whole character, and with a sign that there is more."""
    phone = await stage.device("phone")
    await stage.channel.send(notice(text=text))
    [came], [told] = stage.service.to(phone), stage.service.taken(phone)

    assert len(came.body) < PAYLOAD_BYTES_MAX + 200
    assert told["text"].endswith("…")
    assert text.startswith(told["text"][:-1])
    await stage.channel.send(notice("msg_2", title=text, tag="trip/r2"))
    assert stage.service.taken(phone)[1]["title"].endswith("…")


async def test_a_device_is_told_of_what_its_token_names(stage: Stage) -> None:
    """Not of another session of the same person."""
    phone = await stage.device("phone", sessions="trip*")

    assert await stage.channel.send(notice()) == Sent()
    other = notice("msg_2", session="salary", events=[{"id": "evt_2", "session": "salary"}])
    assert isinstance(await stage.channel.send(other), Gone)
    assert len(stage.service.to(phone)) == 1


async def test_of_a_digest_a_device_is_told_what_its_token_names(stage: Stage) -> None:
    """Made of that alone, title, text and link; the rest is neither told nor in the way. Without any it is gone."""
    phone = await stage.device("phone", sessions="trip*")
    said = [
        {"type": "message.created", "session": session, "by": "user:theo", "data": {"text": f"of {session}"}}
        for session in ("trip", "salary", "salary", "trip-2")
    ]
    digest = notice(type="digest", session="", title="4 news", text="of salary", path="/", events=said[:2])

    assert await stage.channel.send(digest) == Sent()
    assert await stage.channel.send(replace(digest, id="msg_2", events=said)) == Sent()
    assert isinstance(await stage.channel.send(replace(digest, id="msg_3", events=said[1:3])), Gone)
    one, two = stage.service.taken(phone)
    assert one == {
        "id": "msg_1",
        "type": "message.created",
        "session": "trip",
        "title": "theo in trip",
        "text": "of trip",
        "path": "/s/trip",
        "tag": "trip/r1",
    }
    assert (two["type"], two["session"], two["title"], two["path"]) == ("digest", "", "2 news in 2 sessions", "/")
    assert "salary" not in two["text"]


@pytest.mark.parametrize("name", ["user:mona", "t1", "room/invite1"])
async def test_who_was_revoked_is_told_nothing(stage: Stage, name: str) -> None:
    """The subject, the token that named the device, or the invite that the token came by; and the device is forgotten
    before the revocation is."""
    phone = await stage.device("phone", via="room/invite1")
    stage.revoked = {name}

    assert isinstance(await stage.channel.send(notice()), Gone)
    assert stage.service.to(phone) == []
    assert await stage.devices.prune() == 1
    stage.revoked = set()
    assert await stage.names() == []


async def test_a_device_that_is_not_used_any_more_is_told_nothing(stage: Stage) -> None:
    """After two months; opening the console there again is enough."""
    phone = await stage.device("phone")
    stage.now += UNUSED_S + 1

    assert isinstance(await stage.channel.send(notice()), Gone)
    await stage.use("phone", phone)
    assert await stage.channel.send(notice()) == Sent()
    assert await stage.devices.prune() == 0


async def test_a_browser_is_its_last_users(stage: Stage) -> None:
    """A browser has one endpoint for all who sign in there: what Mona missed is not shown to Theo."""
    shared = await stage.device("shared", "user:mona")
    await stage.use("shared", shared, "user:theo")

    assert isinstance(await stage.channel.send(notice()), Gone)
    assert await stage.names("user:mona") == []
    assert await stage.names("user:theo") == ["shared"]


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://example.com/push",
        "https://10.0.0.1/push",
        "https://[::1]/push",
        "https://169.254.169.254/latest/meta-data",
        "https://user:secret@example.com/push",
        "https://[::ffff:10.0.0.1]/",
        "ftp://example.com/",
        "javascript:alert(1)",
        "https://",
        "https://example.com/\r\nX: y",
        "https://example.com/" + "x" * 3_000,
    ],
)
async def test_an_endpoint_must_be_public(stage: Stage, endpoint: str) -> None:
    """Whoever has a token may name one: it is no way into the server's own network."""
    with pytest.raises(BadSubscription):
        await stage.use("phone", Browser(endpoint))
    assert await stage.names() == []


async def test_an_endpoint_that_turns_out_to_be_private_is_forgotten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves to an address of one's own is refused when it is connected to."""
    monkeypatch.setattr("syncd.server.hooks.targets._look_up", lambda *_: [(2, 1, 6, "", ("10.0.0.1", 443))])
    await stage.use("phone", Browser("https://push.example.com/secret"))

    assert isinstance(await stage.channel.send(notice()), Gone)
    assert await stage.names() == []


async def test_a_service_that_hangs_holds_up_the_devices_it_serves(stage: Stage) -> None:
    """A bounded number of requests, and nobody's other device, whatever comes for its own."""
    asked: Counter[str] = Counter()

    async def post(url: str, **_: Any) -> Reply:
        host = url.split("/")[2]
        asked[host] += 1
        if host == "slow.example":
            await asyncio.Event().wait()
        return Reply(201, {}, b"")

    stage.outbound.post = post  # type: ignore[method-assign]
    for number in range(60):
        await stage.use("phone", Browser(f"https://slow.example/{number}"), f"user:p{number}")
    await stage.use("phone", Browser("https://slow.example/mona"))
    await stage.use("pad", Browser("https://fast.example/mona"))
    async with asyncio.TaskGroup() as tasks:
        whom = [f"user:p{number}" for number in range(60)]
        hung = [tasks.create_task(stage.channel.send(notice(subject=subject))) for subject in whom]
        await until(lambda: asked["slow.example"] >= 50)
        hung.append(tasks.create_task(stage.channel.send(notice(options={"devices": "all"}))))
        await until(lambda: asked["fast.example"])
        await asyncio.sleep(0.1)
        for task in hung:
            task.cancel()

    assert asked == {"slow.example": 50, "fast.example": 1}


async def test_everybody_has_a_bounded_number_of_devices(stage: Stage) -> None:
    """One more takes the place of the one that was used least lately; others' are not touched."""
    await stage.device("theirs", "user:theo")
    for number in range(12):
        await stage.device(f"d{number}")

    assert await stage.names() == [f"d{number}" for number in range(11, 1, -1)]
    assert await stage.names("user:theo") == ["theirs"]
