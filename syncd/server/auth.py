"""Auth: signed tokens in, grants out; and the minting of tokens.

The only module that knows of JWT. Knows nothing of requests or links: they bring the token and the address, and say
what follows from a refusal.
"""

import math
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jwt

from syncd.core.errors import CloseCode, LocalProtocolError, SyncdError
from syncd.core.grant import ALL_RIGHTS, Grant, Right
from syncd.core.ids import is_id, is_subject, uuid7
from syncd.server.metrics import Metrics
from syncd.server.ratelimit import Buckets
from syncd.server.revocations import Revocations

#: A shorter secret can be guessed from one token (RFC 7518, section 3.2).
SECRET_BYTES_MIN = 32
SECRET_BYTES_MAX = 1 << 10
#: As much as fits one HTTP header field.
TOKEN_CHARS_MAX = 8_000
#: How far the issuer's clock may be ahead of ours. There is none behind `exp`: expired is expired.
LEEWAY_S = 60.0
#: What stands for a token in the development mode: `dev:` and a name, or a whole subject.
DEV_PREFIX = "dev:"

#: What a token, or something else that the server signed, was got by: a token's `jti`, or an invite of a session.
_VIA_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64})?\Z")
_NAME_PATTERN = re.compile(r"[^\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]{1,128}\Z")
_PATTERN_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}\Z|[A-Za-z0-9_-]{0,64}\*\Z")
#: How the types begin of what is signed here and is no token.
_TYPE_PREFIX = "syncd-"
_TIME_MAX = float(1 << 53)


class BadToken(SyncdError):
    """A token was refused. The message never holds any of it. `code` says how a link is to be closed."""

    def __init__(self, reason: str, code: CloseCode = CloseCode.BAD_TOKEN) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class TooManyFailures(SyncdError):
    """Too many tokens from one address were refused; the next is looked at in `retry_after_s`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("too many tokens from this address were refused")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Key:
    """One key, bound to the one algorithm it is good for. A public key verifies, it cannot sign."""

    kid: str
    algorithm: str
    material: bytes

    @property
    def signs(self) -> bool:
        """Whether tokens can be minted with it."""
        return self.algorithm == "HS256"

    def __repr__(self) -> str:
        return f"Key(kid={self.kid!r}, algorithm={self.algorithm!r})"


@dataclass(frozen=True, slots=True)
class Minted:
    """A fresh token. `expires_at` is in seconds of the Unix epoch."""

    token: str
    token_id: str
    expires_at: int


def parse_keys(text: str, public_key: str = "", public_key_id: str = "") -> tuple[Key, ...]:
    """Read HS256 secrets, `SECRET` or `KID:SECRET` parted by white space, and one Ed25519 public key in PEM.

    Raises:
        ValueError: a key is unusable; the message says which, never what it is.
    """
    keys = [_hs256(number, item) for number, item in enumerate(text.split(), start=1)]
    if public_key.strip():
        keys.append(_ed25519(public_key, public_key_id))
    kids = [key.kid for key in keys]
    if len(set(kids)) < len(kids):
        raise ValueError("every key needs a key id of its own: write them as KID:SECRET")
    return tuple(keys)


def _hs256(number: int, item: str) -> Key:
    kid, colon, secret = item.rpartition(":")
    if colon and not is_id(kid):
        raise ValueError(f"key {number}: before the colon comes a key id of letters, digits, '-' and '_'")
    if not SECRET_BYTES_MIN <= len(secret.encode()) <= SECRET_BYTES_MAX:
        raise ValueError(f"key {number}: a secret has at least {SECRET_BYTES_MIN} bytes. Make one: syncd key")
    return Key(kid, "HS256", secret.encode())


def _ed25519(pem: str, kid: str) -> Key:
    if not jwt.algorithms.has_crypto:
        raise ValueError("a public key needs the package 'cryptography': pip install cryptography")
    key = Key(kid, "EdDSA", pem.strip().encode())
    if "PRIVATE" in pem:
        raise ValueError("this is a private key; the server needs the public one alone")
    try:
        jwt.get_algorithm_by_name("EdDSA").prepare_key(key.material)
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise ValueError("the public key does not read as Ed25519 in PEM") from error
    return key


class Auth:
    """Decides what a token allows.

    1. The algorithm is the key's, never the token's.
    2. Nothing of a token is believed before its signature is checked, but the key id that says which key.
    3. `exp` has no grace, and a token that lives longer than `ttl_max_s` is refused whoever signed it.
    4. `server:` is the server's own subject; no token may name it.
    5. What else is signed here is for one purpose, and neither good for another nor as a token, nor a token for it.

    `dev` gives everybody everything without a token: the caller has made sure that only this machine can connect.
    """

    def __init__(
        self,
        keys: Sequence[Key],
        *,
        revocations: Revocations,
        metrics: Metrics,
        issuer: str = "syncd",
        audience: str = "syncd",
        ttl_max_s: float = 86_400.0,
        sealed_ttl_max_s: float = 0.0,
        failures_per_minute: int = 10,
        dev: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not keys and not dev:
            raise LocalProtocolError("Auth needs a key, or dev=True")
        self._keys = {key.kid: key for key in keys}
        self._signing = next((key for key in keys if key.signs), None)
        self._issuer = issuer
        self._audience = audience
        self._ttl_max_s = ttl_max_s
        self._revoked_for_s = max(ttl_max_s, sealed_ttl_max_s) + LEEWAY_S
        self._dev = dev
        self._clock = clock
        self._monotonic = monotonic
        self._failures = Buckets(failures_per_minute / 60, failures_per_minute)
        self._metrics = metrics
        self.revocations = revocations

    @property
    def ttl_max_s(self) -> float:
        """How long a token may live."""
        return self._ttl_max_s

    @property
    def can_mint(self) -> bool:
        """Whether there is a key to sign with."""
        return self._signing is not None

    def admit(self, token: str, address: str) -> Grant:
        """Return what `token` allows; count a refusal against `address`.

        A good token always passes: one that fails behind the same address shall not lock out the others.

        Raises:
            BadToken: it is refused.
            TooManyFailures: it is refused, as were too many before it.
        """
        with self.counting(address):
            return self.verify(token)

    @contextmanager
    def counting(self, address: str) -> Iterator[None]:
        """Count what is refused inside, as BadToken, against `address`.

        Raises:
            TooManyFailures: in place of a BadToken, after too many before it.
        """
        try:
            yield
        except BadToken:
            self._metrics.auth_failures.inc()
            wait_s = self._failures.admit(address, self._monotonic())
            if wait_s > 0.0:
                raise TooManyFailures(wait_s) from None
            raise

    def verify(self, token: str) -> Grant:
        """Return what `token` allows. In the development mode none, or `dev:NAME`, allows everything.

        Raises:
            BadToken: it is refused; `code` tells expired and revoked from forged.
        """
        if self._dev and (not token or token.startswith(DEV_PREFIX)):
            return dev_grant(token.removeprefix(DEV_PREFIX))
        if not token:
            raise BadToken("a token is needed")
        claims = self._claims(token)
        grant, issued_at = self._grant(claims), _time(claims, "iat")
        if self.revoked((grant.token_id, *grant.via), grant.subject, issued_at):
            raise BadToken("the token was revoked", CloseCode.REVOKED)
        return grant

    def mint(
        self,
        subject: str,
        sessions: Mapping[str, Collection[str]],
        *,
        name: str = "",
        ttl_s: float = 3_600.0,
        expires_at_max: float = math.inf,
        via: Sequence[str] = (),
    ) -> Minted:
        """Sign a token for `subject`: `sessions` maps an id, or a prefix and `*`, to its rights; `ttl_s` is its life.

        It ends by `expires_at_max` (Unix s) at the latest, and with the revocation of anything in `via`.

        Raises:
            LocalProtocolError: there is no key to sign with, or this token would not be accepted.
        """
        now = int(self._clock())
        token_id = uuid7(now * 1_000, secrets.token_bytes(10))
        expires_at = int(min(now + math.ceil(ttl_s), expires_at_max))
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": subject,
            "name": name or subject.partition(":")[2] or subject,
            "kind": subject.partition(":")[0],
            "jti": token_id,
            "iat": now,
            "exp": expires_at,
            "sessions": {pattern: sorted(rights) for pattern, rights in sessions.items()},
        }
        if via:
            claims["via"] = list(via)
        try:
            self._grant(claims)
        except BadToken as error:
            raise LocalProtocolError(error.reason) from None
        token = self._sign(claims)
        if len(token) > TOKEN_CHARS_MAX:
            raise LocalProtocolError(f"the token would be longer than {TOKEN_CHARS_MAX} characters: name prefixes")
        return Minted(token, token_id, expires_at)

    def seal(self, purpose: str, claims: Mapping[str, Any], *, ttl_s: float) -> Minted:
        """Sign something that is no token: whoever brings it back within `ttl_s` shows that it was said here.

        Raises:
            LocalProtocolError: there is no key to sign with.
        """
        now = int(self._clock())
        sealed_id = uuid7(now * 1_000, secrets.token_bytes(10))
        expires_at = now + math.ceil(ttl_s)
        times = {"jti": sealed_id, "iat": now, "exp": expires_at}
        audience = {"iss": self._issuer, "aud": self._audience_of(purpose)}
        return Minted(self._sign({**claims, **times, **audience}, purpose), sealed_id, expires_at)

    def unseal(self, purpose: str, text: str) -> Mapping[str, Any]:
        """Return the claims of what `seal` signed for this purpose.

        Raises:
            BadToken: it is forged, malformed, for something else, or has expired.
        """
        claims = self._claims(text, purpose)
        if _time(claims, "exp") <= self._clock():
            raise BadToken("it has expired", CloseCode.TOKEN_EXPIRED)
        return claims

    def revoked(self, ids: Iterable[str], subject: str, issued_at: float) -> bool:
        """Whether one of these was revoked, or all that `subject` had up to `issued_at` (Unix s)."""
        return any(self.revocations.revoked(token_id=id, subject=subject, issued_at=issued_at) for id in ids)

    async def revoke(self, *, token_id: str | None = None, subject: str | None = None) -> None:
        """Stop believing one token, or all tokens of a subject issued so far; their links are cut at once.

        Raises:
            OSError: the list could not be written; nothing is revoked.
        """
        now = self._clock()
        until = now + self._revoked_for_s  # Every token that exists now, or comes of it, has expired by then.
        if token_id is not None:
            await self.revocations.revoke_token(token_id, until=until, now=now)
        if subject is not None:
            await self.revocations.revoke_subject(subject, until=until, now=now)

    def _sign(self, claims: dict[str, Any], purpose: str = "") -> str:
        if self._signing is None:
            raise LocalProtocolError("this server has no key to sign with: it only checks what others sign")
        headers = {"typ": _type(purpose)} | ({"kid": self._signing.kid} if self._signing.kid else {})
        return jwt.encode(claims, self._signing.material, algorithm=self._signing.algorithm, headers=headers)

    def _audience_of(self, purpose: str) -> str:
        return f"{self._audience}/{purpose}" if purpose else self._audience

    def _claims(self, token: str, purpose: str = "") -> Mapping[str, Any]:
        if len(token) > TOKEN_CHARS_MAX or not token.isascii():
            raise BadToken("the token is malformed")
        try:
            header = jwt.get_unverified_header(token)
            key = self._key(header.get("kid"))
            # Invariant 5. Tokens of others name their type as they like, as long as it is none of ours.
            if purpose and (not key.signs or header.get("typ") != _type(purpose)):
                raise BadToken("it is meant for something else")
            if not purpose and str(header.get("typ", "")).startswith(_TYPE_PREFIX):
                raise BadToken("the token is meant for something else")
            claims: dict[str, Any] = jwt.decode(
                token,
                key.material,
                algorithms=[key.algorithm],  # Invariant 1.
                issuer=self._issuer,
                audience=self._audience_of(purpose),
                options={
                    "require": ["iss", "aud", "exp", "iat", "jti", *([] if purpose else ["sub", "sessions"])],
                    # Times are checked in _grant, on this object's clock, since PyJWT's leeway also stretches `exp`.
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.PyJWTError as error:
            raise BadToken(_reason(error)) from None
        except (RecursionError, ValueError):
            # JSON nested thousands of levels deep in a header that nobody has signed; older PyJWT lets it through.
            raise BadToken("the token is malformed") from None
        return claims

    def _key(self, kid: object) -> Key:
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None and kid is None:
            key = next(iter(self._keys.values())) if len(self._keys) == 1 else self._keys.get("")
        if key is None:
            raise BadToken("the token was signed with a key that is not known here")
        return key

    def _grant(self, claims: Mapping[str, Any]) -> Grant:
        """Check the meaning of claims whose signature was checked."""
        now = self._clock()
        issued_at, expires_at = _time(claims, "iat"), _time(claims, "exp")
        if expires_at <= now:
            raise BadToken("the token has expired", CloseCode.TOKEN_EXPIRED)  # Invariant 3.
        if expires_at - issued_at > self._ttl_max_s:
            raise BadToken(f"the token lives longer than {self._ttl_max_s:.0f} s")  # Invariant 3.
        if max(issued_at, _time(claims, "nbf") if "nbf" in claims else 0.0) > now + LEEWAY_S:
            raise BadToken("the token is not valid yet")
        subject, token_id = claims["sub"], claims["jti"]
        kind, _, own_name = subject.partition(":") if isinstance(subject, str) else ("", "", "")
        if not is_subject(subject) or kind == "server":
            raise BadToken("the token's subject is not one, such as user:mona")  # Invariant 4.
        if claims.get("kind", kind) != kind:
            raise BadToken("the token's kind is not its subject's")
        name = claims.get("name", own_name or subject)
        if not isinstance(name, str) or not _NAME_PATTERN.match(name):
            raise BadToken("the token's name is not 1 to 128 printable characters")
        if not is_id(token_id):
            raise BadToken("the token's jti is not an id")
        via = claims.get("via", [])
        if not isinstance(via, list) or not all(isinstance(item, str) and _VIA_PATTERN.match(item) for item in via):
            raise BadToken("the token's via is not an array of ids")
        return Grant(subject, name, kind, _sessions(claims["sessions"]), expires_at, token_id, tuple(via))


def dev_grant(name: str) -> Grant:
    """Return the development mode's grant: everything, for ever, as `user:NAME` or as the subject named.

    Raises:
        BadToken: the name makes no subject.
    """
    subject = name if ":" in name else f"user:{name or 'dev'}"
    kind, _, own_name = subject.partition(":")
    if not is_subject(subject) or kind == "server" or not _NAME_PATTERN.match(own_name):
        raise BadToken("this name makes no subject: use letters, such as dev:mona or dev:agent:planner")
    return Grant(subject, own_name, kind, (("*", ALL_RIGHTS),))


def _sessions(claim: object) -> tuple[tuple[str, frozenset[Right]], ...]:
    if not isinstance(claim, dict):
        raise BadToken("the token's sessions are not an object")
    pairs = []
    for pattern, rights in claim.items():
        if not isinstance(pattern, str) or not _PATTERN_PATTERN.match(pattern):
            raise BadToken("a session in the token is neither an id nor a prefix followed by '*'")
        try:
            if not isinstance(rights, list):
                raise TypeError
            pairs.append((pattern, frozenset(Right(right) for right in rights)))
        except (ValueError, TypeError):
            raise BadToken(f"a right in the token is none of {', '.join(Right)}") from None
    return tuple(pairs)


def _type(purpose: str) -> str:
    return f"{_TYPE_PREFIX}{purpose}+jwt" if purpose else "JWT"


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _TIME_MAX:
        raise BadToken(f"the token's {name} is not a time")
    return float(value)


def _reason(error: jwt.PyJWTError) -> str:
    """Say what was wrong in words of our own, since a library's might quote the token."""
    if isinstance(error, jwt.InvalidSignatureError):
        return "the token's signature does not match"
    if isinstance(error, jwt.InvalidAlgorithmError):
        return "the token's algorithm is not its key's"
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"the token lacks the claim {error.claim}"
    if isinstance(error, jwt.InvalidIssuerError | jwt.InvalidAudienceError):
        return "the token is meant for somebody else"
    return "the token is malformed"
