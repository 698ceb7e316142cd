"""A push service on a real socket, and browsers that subscribe to it, reading what came with `http_ece`."""

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import http_ece
import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from syncd.server.hooks.channels.encryption import from_text64, to_text64


class Browser:
    """One browser's keys, as `PushManager.subscribe` makes them."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.auth = secrets.token_bytes(16)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.p256dh = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def json(self) -> dict[str, Any]:
        """What `PushSubscription.toJSON()` returns."""
        keys = {"p256dh": to_text64(self.p256dh), "auth": to_text64(self.auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}

    def read(self, body: bytes) -> Any:
        """Return what a message says."""
        plain = http_ece.decrypt(body, private_key=self._key, auth_secret=self.auth, version="aes128gcm")
        return json.loads(plain)


@dataclass
class Came:
    """One request that came to the service."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    answered: int


@dataclass
class PushService:
    """Takes messages, and answers what `answers` says for a path, in turn; 201 when nothing is left."""

    url: str = ""
    came: list[Came] = field(default_factory=list)
    answers: dict[str, list[web.Response]] = field(default_factory=dict)

    def browser(self, name: str) -> Browser:
        """Return a browser that subscribed."""
        return Browser(f"{self.url}/push/{name}")

    def answer(self, browser: Browser, *statuses: int, **headers: str) -> None:
        """Have the next messages to a browser answered like this."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        waiting = self.answers.setdefault(browser.endpoint.removeprefix(self.url), [])
        waiting.extend(web.Response(status=status, headers=named) for status in statuses)

    def to(self, browser: Browser) -> list[Came]:
        """Return what came for a browser."""
        return [one for one in self.came if self.url + one.path == browser.endpoint]

    def taken(self, browser: Browser) -> list[Any]:
        """Return what a browser was told."""
        return [browser.read(one.body) for one in self.to(browser) if one.answered == 201]

    def check(self, came: Came, public_key: str) -> dict[str, Any]:
        """Return what the sender said of itself, as a push service checks it (RFC 8292)."""
        scheme, _, rest = came.headers["Authorization"].partition(" ")
        assert scheme == "vapid"
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        assert parts["k"] == public_key
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_text64(parts["k"]))
        return dict(jwt.decode(parts["t"], key, algorithms=["ES256"], audience=self.url))

    async def handle(self, request: web.Request) -> web.Response:
        waiting = self.answers.get(request.path)
        answer = waiting.pop(0) if waiting else web.Response(status=201)
        self.came.append(Came(request.path, dict(request.headers), await request.read(), answer.status))
        return answer


@asynccontextmanager
async def push_service() -> AsyncIterator[PushService]:
    """Run one."""
    service = PushService()
    app = web.Application()
    app.router.add_post("/push/{name}", service.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    service.url = f"http://{host}:{port}"
    try:
        yield service
    finally:
        await runner.cleanup()
