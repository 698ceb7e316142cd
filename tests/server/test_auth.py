"""Tokens in, grants out."""

import base64
import json
from typing import Any

import jwt
import pytest

from syncd.core.errors import CloseCode, LocalProtocolError
from syncd.core.grant import ALL_RIGHTS, Right
from syncd.server.auth import TOKEN_CHARS_MAX, Auth, BadToken, Key, TooManyFailures, parse_keys
from syncd.server.metrics import Metrics
from syncd.server.revocations import Revocations

NOW = 1_800_000_000.0
OLD, NEW, OTHER = "o" * 32, "n" * 32, "x" * 32


def make_auth(keys: str = OLD, *, now: float = NOW, **options: Any) -> Auth:
    return Auth(parse_keys(keys), revocations=Revocations(None), metrics=Metrics(), clock=lambda: now, **options)


def claims(without: str = "", **changes: Any) -> dict[str, Any]:
    good = {
        "iss": "syncd",
        "aud": "syncd",
        "sub": "user:mona",
        "name": "Mona",
        "kind": "user",
        "iat": NOW,
        "exp": NOW + 3_600,
        "jti": "t-1",
        "sessions": {"room": ["transcript"], "team-*": ["admin", "state"]},
    }
    return {name: value for name, value in (good | changes).items() if name != without}


def sign(secret: str = OLD, kid: str | None = None, algorithm: str = "HS256", **changes: Any) -> str:
    return jwt.encode(claims(**changes), secret, algorithm=algorithm, headers={"kid": kid} if kid is not None else None)


def unsigned(head: bytes) -> str:
    return base64.urlsafe_b64encode(head).rstrip(b"=").decode() + ".e30."


def assert_refused(auth: Auth, token: str, code: CloseCode = CloseCode.BAD_TOKEN) -> str:
    with pytest.raises(BadToken) as caught:
        auth.verify(token)
    assert caught.value.code is code
    assert not token or token not in caught.value.reason
    return caught.value.reason


def test_good_token_becomes_a_grant() -> None:
    """Every claim arrives where the core looks for it."""
    grant = make_auth().verify(sign())

    assert (grant.subject, grant.name, grant.kind, grant.token_id) == ("user:mona", "Mona", "user", "t-1")
    assert grant.expires_at == NOW + 3_600
    assert grant.rights("room") == frozenset({Right.TRANSCRIPT})
    assert grant.rights("team-7") == frozenset({Right.ADMIN, Right.STATE})
    assert grant.rights("elsewhere") is None


@pytest.mark.parametrize("missing", ["iss", "aud", "sub", "exp", "iat", "jti", "sessions"])
def test_claim_that_is_missing_is_named(missing: str) -> None:
    """Nothing that a grant is made of has a default."""
    assert missing in assert_refused(make_auth(), sign(without=missing))


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "elsewhere"},
        {"aud": "elsewhere"},
        {"aud": []},
        {"sub": "mona"},
        {"sub": "user:a\nb"},
        {"sub": ""},
        {"sub": "user:\ud800"},
        {"sub": "server:"},
        {"sub": "server:node-1", "kind": "server"},
        {"kind": "agent"},
        {"kind": 1},
        {"name": ""},
        {"name": "a\u0000"},
        {"name": "a\u2028"},
        {"name": "x" * 129},
        {"name": ["Mona"]},
        {"jti": ""},
        {"jti": "a b"},
        {"jti": "x" * 65},
        {"sessions": []},
        {"sessions": "*"},
        {"sessions": {"": ["state"]}},
        {"sessions": {"a/b": ["state"]}},
        {"sessions": {"a*b": ["state"]}},
        {"sessions": {"**": ["state"]}},
        {"sessions": {"a": "state"}},
        {"sessions": {"a": {"state": 1}}},
        {"sessions": {"a": ["root"]}},
        {"sessions": {"a": [["state"]]}},
        {"sessions": {"a": None}},
        {"exp": "soon"},
        {"exp": True},
        {"exp": None},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": 10**400},
        {"iat": -1},
        {"nbf": []},
    ],
)
def test_claim_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    """A signature alone is not enough; the server's own subject least of all."""
    assert_refused(make_auth(), sign(**change))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"exp": NOW + 1}, None),
        ({"exp": NOW}, CloseCode.TOKEN_EXPIRED),
        ({"exp": NOW - 30, "iat": NOW - 60}, CloseCode.TOKEN_EXPIRED),
        ({"iat": NOW + 60}, None),
        ({"iat": NOW + 61}, CloseCode.BAD_TOKEN),
        ({"nbf": NOW + 60}, None),
        ({"nbf": NOW + 61}, CloseCode.BAD_TOKEN),
        ({"exp": NOW + 86_400}, None),
        ({"exp": NOW + 86_401}, CloseCode.BAD_TOKEN),
        ({"iat": 0}, CloseCode.BAD_TOKEN),
    ],
)
def test_times(change: dict[str, Any], code: CloseCode | None) -> None:
    """A minute of leeway before a token begins, none after it has ended, and never more than a day's life."""
    if code is None:
        make_auth().verify(sign(**change))
    else:
        assert_refused(make_auth(), sign(**change), code)


def test_forged_signature_is_refused() -> None:
    """Another secret, or one changed character of the claims."""
    head, body, signature = sign().split(".")
    other = base64.urlsafe_b64encode(json.dumps(claims(sub="user:eve")).encode()).rstrip(b"=").decode()

    assert_refused(make_auth(), sign(OTHER))
    assert_refused(make_auth(), f"{head}.{other}.{signature}")
    assert_refused(make_auth(), f"{head}.{body}.")


@pytest.mark.parametrize("algorithm", ["none", "None", "HS384", "HS512"])
def test_algorithm_is_the_keys(algorithm: str) -> None:
    """What the token says of its algorithm is not believed."""
    if algorithm.startswith("HS"):
        token = sign("o" * 64, algorithm=algorithm)
    else:
        head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()).rstrip(b"=").decode()
        token = f"{head}.{sign().split('.')[1]}."
    assert_refused(make_auth("o" * 64), token)


def test_public_key_is_no_secret() -> None:
    """A token signed by HMAC with the public key's text is refused: the old confusion of algorithms."""
    pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----"
    auth = Auth([Key("", "EdDSA", pem.encode())], revocations=Revocations(None), metrics=Metrics(), clock=lambda: NOW)
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
    signing = f"{head}.{sign().split('.')[1]}"
    signature = jwt.get_algorithm_by_name("HS256").sign(signing.encode(), pem.encode())

    assert_refused(auth, f"{signing}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}")


def test_keys_rotate() -> None:
    """The first signs, all verify; a token says by `kid` which, and a wrong or unknown one is refused."""
    auth = make_auth(f"new:{NEW} old:{OLD}")
    minted = auth.mint("user:mona", {})

    assert jwt.get_unverified_header(minted.token)["kid"] == "new"
    auth.verify(minted.token)
    auth.verify(sign(OLD, "old"))
    assert_refused(auth, sign(OLD, "new"))
    assert_refused(auth, sign(OLD, "gone"))
    assert_refused(auth, sign(OLD))
    assert_refused(make_auth(), sign(OLD, "any"))
    make_auth(f"only:{OLD}").verify(sign(OLD))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "\x00",
        "é",
        "\ud800",
        "x" * (TOKEN_CHARS_MAX + 1),
        unsigned(b"[" * 5_000),
        unsigned(b'{"alg":"HS256","kid":{}}'),
        unsigned(b'{"alg":"HS256","crit":["x"]}'),
        unsigned(b'"HS256"'),
        unsigned(b"9" * 5_000),
        "dev:mona",
    ],
)
def test_nonsense_is_refused_without_a_crash(token: str) -> None:
    """Whatever arrives, the one exception is BadToken."""
    assert_refused(make_auth(), token)


def test_long_good_token_is_refused() -> None:
    """A signed token over the length is refused before it is looked at."""
    assert_refused(make_auth(), sign(sessions={f"s{n:060}": [] for n in range(200)}))


def test_minted_token_is_accepted() -> None:
    """Mint and verify agree."""
    auth = make_auth()
    minted = auth.mint("agent:planner", {"room": ["command"]}, ttl_s=30)
    grant = auth.verify(minted.token)

    assert (grant.subject, grant.kind, grant.name) == ("agent:planner", "agent", "planner")
    assert grant.token_id == minted.token_id
    assert grant.expires_at == minted.expires_at == NOW + 30


@pytest.mark.parametrize(("subject", "ttl_s"), [("server:", 60), ("mona", 60), ("user:mona", 86_401)])
def test_bad_token_cannot_be_minted(subject: str, ttl_s: float) -> None:
    """Nothing is signed that would be refused."""
    with pytest.raises(LocalProtocolError):
        make_auth().mint(subject, {}, ttl_s=ttl_s)


async def test_revocation_is_by_token_or_by_subject() -> None:
    """A subject's tokens die up to the moment of revocation; later ones live."""
    auth = make_auth()
    await auth.revoke(token_id="t-1")
    assert_refused(auth, sign(), CloseCode.REVOKED)
    auth.verify(sign(jti="t-2"))
    await auth.revoke(subject="user:mona")
    assert_refused(auth, sign(jti="t-2"), CloseCode.REVOKED)
    auth.verify(sign(jti="t-3", iat=NOW + 1))
    auth.verify(sign(jti="t-2", sub="user:otto"))


def test_dev_mode_believes_everybody() -> None:
    """No token, or a name in its place; real tokens are still checked."""
    auth = make_auth(dev=True)

    assert auth.verify("").subject == "user:dev"
    assert auth.verify("").rights("any") == ALL_RIGHTS
    assert auth.verify("dev:Mona").subject == "user:Mona"
    assert auth.verify("dev:agent:planner").kind == "agent"
    assert auth.verify(sign()).token_id == "t-1"
    for token in ("dev:server:x", "dev:a\nb", "dev:robot:", sign(OTHER)):
        assert_refused(auth, token)


def test_refusals_of_one_address_are_limited() -> None:
    """So many a minute are told why; good tokens and other addresses are not affected; time heals."""
    clock = [0.0]
    auth = make_auth(failures_per_minute=2, monotonic=lambda: clock[0])
    for _ in range(2):
        with pytest.raises(BadToken):
            auth.admit("forged", "10.0.0.1")
    with pytest.raises(TooManyFailures) as caught:
        auth.admit("forged", "10.0.0.1")

    assert caught.value.retry_after_s == pytest.approx(30)
    auth.admit(sign(), "10.0.0.1")
    with pytest.raises(BadToken):
        auth.admit("forged", "10.0.0.2")
    clock[0] = 30.0
    with pytest.raises(BadToken):
        auth.admit("forged", "10.0.0.1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("short", "at least 32 bytes"),
        ("a:" + "s" * 31, "at least 32 bytes"),
        ("k/d:" + OLD, "before the colon"),
        (f"{OLD} {NEW}", "a key id of its own"),
        (f"a:{OLD} a:{NEW}", "a key id of its own"),
    ],
)
def test_unusable_key_is_refused(text: str, message: str) -> None:
    """The message says what to do and never repeats the secret."""
    with pytest.raises(ValueError, match=message) as caught:
        parse_keys(text)
    assert OLD not in str(caught.value)


def test_key_does_not_show_its_secret() -> None:
    """A key that ends up in a log or a traceback gives nothing away."""
    assert OLD not in repr(parse_keys(OLD))


def test_no_keys_and_no_dev_mode_is_a_mistake() -> None:
    """There is no way to a server that believes everybody by accident."""
    with pytest.raises(LocalProtocolError):
        make_auth("")


def test_ed25519_tokens_of_somebody_else_are_verified() -> None:
    """A server with a public key alone verifies and cannot mint."""
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    auth = Auth(
        parse_keys("", pem.decode(), "their-key"), revocations=Revocations(None), metrics=Metrics(), clock=lambda: NOW
    )
    token = jwt.encode(claims(), private, algorithm="EdDSA", headers={"kid": "their-key"})

    assert auth.verify(token).subject == "user:mona"
    assert not auth.can_mint
    with pytest.raises(LocalProtocolError):
        auth.mint("user:mona", {})
    with pytest.raises(ValueError, match="does not read"):
        parse_keys("", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----")
