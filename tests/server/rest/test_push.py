"""The routes of push: everybody sees and changes their own devices, and nobody else's. Against a whole server."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from syncd.core.limits import Limits
from syncd.server.app import Server
from syncd.server.config import ConfigError
from syncd.server.hooks.channels.encryption import from_text64
from tests.harness import make_server, mint, serving
from tests.server.hooks.push_service import Browser

MONA, THEO = "user:mona", "user:theo"


@dataclass
class Site:
    """A server, and requests to it."""

    server: Server
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, *, by: str = MONA, token: str = "", json: Any = None) -> Any:
        """Return status and answer; the answer's code for an error."""
        headers = {"Authorization": f"Bearer {token or mint(by)}"}
        async with self.http.request(method, self.server.url + path, headers=headers, json=json) as response:
            answer: Any = await response.json() if response.content_type == "application/json" else None
            return response.status, answer["error"]["code"] if response.status >= 400 else answer

    async def put(self, device: str, given: Any, **who: str) -> Any:
        """Register a device."""
        return await self.call("PUT", f"/v1/push/subscriptions/{device}", json=given, **who)

    async def devices(self, by: str = MONA) -> list[str]:
        """The devices that somebody sees."""
        status, answer = await self.call("GET", "/v1/push/subscriptions", by=by)
        assert status == 200
        return [one["device"] for one in answer["devices"]]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A server nobody has a device at."""
    async with serving(tmp_path / "syncd.db") as server, aiohttp.ClientSession() as http:
        yield Site(server, http)


def browser() -> Browser:
    """A browser that subscribed somewhere public."""
    return Browser(f"https://push.example.com/{secrets.token_hex(8)}")


async def test_the_key_stays_the_same(site: Site, tmp_path: Path) -> None:
    """Over restarts too: browsers are bound to it."""
    status, answer = await site.call("GET", "/v1/push/key")
    await site.server.stop()
    async with serving(tmp_path / "syncd.db") as server:
        again = await Site(server, site.http).call("GET", "/v1/push/key")

    assert status == 200
    assert len(from_text64(answer["key"])) == 65
    assert again == (status, answer)


async def test_a_device_is_registered_listed_and_given_up(site: Site) -> None:
    """What is listed tells devices apart, and holds nothing that one could send by."""
    phone = browser()
    assert await site.put("phone", phone.json() | {"name": "Firefox, Android"}) == (204, None)
    assert await site.put("phone", phone.json() | {"name": "Firefox"}) == (204, None)
    _, answer = await site.call("GET", "/v1/push/subscriptions")
    [one] = answer["devices"]

    assert (one["device"], one["name"], one["service"]) == ("phone", "Firefox", "push.example.com")
    assert one["used"] >= one["since"] > 1_600_000_000_000
    assert phone.endpoint.rpartition("/")[2] not in str(answer)
    assert await site.call("DELETE", "/v1/push/subscriptions/phone") == (204, None)
    assert await site.devices() == []
    assert await site.call("DELETE", "/v1/push/subscriptions/phone") == (204, None)


async def test_nobody_sees_or_changes_anothers_devices(site: Site) -> None:
    """A device is found by its person's token: the same name by another's is another device."""
    phone, other = browser(), browser()
    await site.put("phone", phone.json(), by=MONA)

    assert await site.devices(THEO) == []
    assert await site.call("DELETE", "/v1/push/subscriptions/phone", by=THEO) == (204, None)
    await site.put("phone", other.json(), by=THEO)
    assert (await site.devices(MONA), await site.devices(THEO)) == (["phone"], ["phone"])
    stolen = other.json() | {"endpoint": phone.endpoint}
    assert await site.put("phone", stolen, by=THEO) == (403, "forbidden")
    assert await site.devices(MONA) == ["phone"]


@pytest.mark.parametrize("path", ["key", "subscriptions", "subscriptions/phone"])
async def test_all_of_it_needs_a_token(site: Site, path: str) -> None:
    """Of anybody: no right on any session is needed to be told."""
    method = "DELETE" if path.endswith("phone") else "GET"

    assert await site.call(method, f"/v1/push/{path}", token="forged") == (401, "bad_token")
    token = mint(MONA, (), sessions="none")
    assert (await site.call(method, f"/v1/push/{path}", token=token))[0] in (200, 204)


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "https://127.0.0.1/push"},
        {"endpoint": "http://push.example.com/push"},
        {"endpoint": "https://push.example.com/" + "x" * 4_000},
        {"endpoint": 7},
        {"keys": {"p256dh": "AAAA", "auth": "AAAAAAAAAAAAAAAAAAAAAA"}},
        {"keys": {"p256dh": "*" * 87, "auth": "AAAAAAAAAAAAAAAAAAAAAA"}},
        {"keys": {"p256dh": "A" * 200, "auth": "AAAAAAAAAAAAAAAAAAAAAA"}},
        {"keys": {}},
        {"name": "a\nb"},
        {"more": 1},
    ],
)
async def test_what_is_no_subscription_is_refused(site: Site, change: dict[str, Any]) -> None:
    """An address of the server's own network, keys that are none, fields that are not known."""
    assert await site.put("phone", browser().json() | change) == (422, "invalid")
    assert await site.devices() == []


async def test_a_device_has_an_id_like_everything(site: Site) -> None:
    """Nothing else gets into a row or a path."""
    assert await site.put("a%2Fb", browser().json()) == (422, "invalid")


async def test_a_person_has_so_many_devices_and_no_more(site: Site) -> None:
    """`push_devices_max`; the one used least lately is told nothing more."""
    most = Limits().push_devices_max
    for number in range(most + 1):
        await site.put(f"d{number}", browser().json())

    assert len(found := await site.devices()) == most
    assert f"d{most}" in found


async def test_who_is_revoked_has_no_device_any_more(site: Site) -> None:
    """Not even once the revocation itself has been forgotten."""
    await site.put("phone", browser().json())
    await site.put("theirs", browser().json(), by=THEO)
    admin = mint("user:root", ("admin",))
    assert (await site.call("POST", "/v1/tokens/revoke", token=admin, json={"subject": MONA}))[0] == 204
    devices = site.server.services.devices
    assert devices is not None
    await asyncio.gather(*site.server._pruning)

    assert [one.subject for one in await devices.subscriptions.page()] == [THEO]


async def test_a_server_may_send_no_pushes(tmp_path: Path) -> None:
    """Then there is no key either, in the file system or for browsers."""
    async with serving(tmp_path / "syncd.db", push=False) as server, aiohttp.ClientSession() as http:
        assert await Site(server, http).call("GET", "/v1/push/key") == (404, "not_found")
    assert not (tmp_path / "syncd.db.push.pem").exists()


@pytest.mark.parametrize("contact", ["ops@example.com", "http://example.com", "mailto:", "https://a b"])
def test_a_contact_is_something_to_reach_somebody_by(tmp_path: Path, contact: str) -> None:
    """A wrong one would be refused by push services only, one device at a time."""
    with pytest.raises(ConfigError, match="SYNCD_PUSH_CONTACT"):
        make_server(tmp_path / "syncd.db", push_contact=contact)
