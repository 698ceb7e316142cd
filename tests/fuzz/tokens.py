"""Tokens under attack: changed after they were signed, and signed with claims that make no sense.

Knows nothing of links or requests.
"""

import base64
import json
from random import Random
from typing import Any, Final

import jwt

from syncd.core.grant import Grant
from syncd.core.ids import is_id, is_subject
from syncd.server.auth import Auth, BadToken, parse_keys
from syncd.server.metrics import Metrics
from syncd.server.revocations import Revocations
from tests.fuzz.mutate import mutate
from tests.fuzz.target import ACCEPTED

SECRET: Final = "s" * 40
NOW: Final = 1_800_000_000.0
_CLAIMS: Final[dict[str, Any]] = {
    "iss": "syncd",
    "aud": "syncd",
    "sub": "user:mona",
    "name": "Mona",
    "kind": "user",
    "iat": NOW,
    "exp": NOW + 3_600,
    "nbf": NOW,
    "jti": "t-1",
    "sessions": {"room": ["transcript"], "team-*": ["admin", "state"]},
}
#: What a claim is changed to, as JSON: of the wrong type, out of range, or not what UTF-8 can say.
_ODD: Final = (
    "null", "true", "[]", "{}", '""', "NaN", "Infinity", "-1", "1e400", "9" * 400, '"\\ud800"', '"user:\\udfff"',
    '"user:\\u2028"', '"user:\\u0000"', '"server:"', '"server:x"', '["syncd"]', '["x", 1]', '{"room": 1}',
    '{"room": ["root"]}', '{"\\ud800": []}', '{"../x": []}', '{"*": [["state"]]}', "[" * 900 + "]" * 900, "1.5",
    '"user:' + "x" * 200 + '"', "0", "-0.0", '"1e9"',
)  # fmt: skip


class TokensTarget:
    """Tokens: the one exception is BadToken, and a changed token is nobody else's.

    Half of the inputs are changed tokens; the others, marked by a first byte, are claims to be signed with the key.
    """

    def __init__(self, rng: Random) -> None:
        self._auth = Auth(
            parse_keys(SECRET), revocations=Revocations(None), metrics=Metrics(), clock=lambda: NOW + 1, dev=False
        )
        self._good = self._sign(json.dumps(_CLAIMS).encode())
        head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=")
        self._tokens = [self._good, head + b"." + self._good.split(b".")[1] + b"."]
        self._honest = self._auth.verify(self._good.decode())
        self._signed = False
        self._grant: Grant | None = None

    def _sign(self, payload: bytes) -> bytes:
        return jwt.api_jws.encode(payload, SECRET, algorithm="HS256").encode()

    def draw(self, rng: Random) -> bytes:
        if rng.random() < 0.5:
            return b"\0" + mutate(rng.choice(self._tokens), rng, self._tokens)
        claims = dict(_CLAIMS)
        name = rng.choice([*claims])
        if rng.random() < 0.2:
            payload = mutate(json.dumps(claims).encode(), rng, [value.encode() for value in _ODD])
        else:
            parts = {key: json.dumps(value) for key, value in claims.items()} | {name: rng.choice(_ODD)}
            payload = ("{" + ", ".join(f'"{key}": {value}' for key, value in parts.items()) + "}").encode()
        return b"\1" + payload

    def feed(self, data: bytes) -> str:
        self._signed = data[:1] == b"\1"
        token = self._sign(data[1:]) if self._signed else data[1:]
        try:
            self._grant = self._auth.verify(token.decode(errors="surrogateescape"))
        except BadToken as error:
            return error.code.name.lower()
        return ACCEPTED

    def check(self) -> None:
        grant = self._grant
        assert grant is not None
        if not self._signed:
            assert grant == self._honest, "a changed token says something else"
        assert is_subject(grant.subject)
        assert is_id(grant.token_id)
        assert not grant.subject.startswith("server:")
        assert grant.expires_at is not None
        assert NOW < grant.expires_at <= NOW + 86_400 + 61
        # What a link and a log do with them next.
        assert f"{grant.subject}{grant.name}{grant.kind}".encode()
        assert grant.rights("elsewhere") is None or any(pattern.endswith("*") for pattern, _ in grant.sessions)

    def finish(self) -> None:
        pass
