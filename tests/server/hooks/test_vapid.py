"""The key by which push services know this server."""

import stat
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from syncd.core.errors import StoreDamaged, StoreError
from syncd.server.hooks.channels.encryption import from_text64
from syncd.server.hooks.channels.vapid import TOKEN_TTL_S, Vapid


class Clock:
    """Unix seconds that a test moves."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def load(path: Path, contact: str = "") -> tuple[Vapid, Clock]:
    clock = Clock()
    return Vapid.load(path / "key.pem", contact=contact, clock=clock), clock


def parts(header: str) -> dict[str, str]:
    """The parameters of a header `vapid t=…, k=…`."""
    scheme, _, rest = header.partition(" ")
    assert scheme == "vapid"
    return dict(part.strip().split("=", 1) for part in rest.split(","))


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    """Browsers subscribed with it: another one would be another server to them."""
    first, _ = load(tmp_path)
    second, _ = load(tmp_path)

    assert first.public_key == second.public_key
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["key.pem"]
    assert len(from_text64(first.public_key)) == 65


def test_what_it_signs_says_to_whom_and_until_when(tmp_path: Path) -> None:
    """The push service's origin with its port, half a day, where to reach the operator: nothing else."""
    vapid, clock = load(tmp_path, "mailto:ops@example.com")
    said = parts(vapid.authorization("https://push.example.com:8443/send/abc?x=1"))
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_text64(said["k"]))
    claims = jwt.decode(said["t"], key, algorithms=["ES256"], audience="https://push.example.com:8443")

    assert claims == {
        "aud": "https://push.example.com:8443",
        "exp": int(clock.now) + TOKEN_TTL_S,
        "sub": "mailto:ops@example.com",
    }
    assert said["k"] == vapid.public_key
    assert "sub" not in jwt.decode(
        parts(load(tmp_path)[0].authorization("https://p.example/x"))["t"], options={"verify_signature": False}
    )


def test_a_signature_is_used_again_for_half_its_life(tmp_path: Path) -> None:
    """For the same service; another one gets its own."""
    vapid, clock = load(tmp_path)
    first = vapid.authorization("https://a.example/1")

    assert vapid.authorization("https://a.example/2") == first
    assert vapid.authorization("https://b.example/1") != first
    clock.now += TOKEN_TTL_S / 2 + 1
    assert vapid.authorization("https://a.example/3") != first


@pytest.mark.parametrize("content", ["", "nothing", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_does_not_read_is_an_error(tmp_path: Path, content: str) -> None:
    """Never another key in its place: that would silence every device without a word."""
    (tmp_path / "key.pem").write_text(content)

    with pytest.raises(StoreDamaged, match="restore it, or remove it"):
        load(tmp_path)
    assert (tmp_path / "key.pem").read_text() == content


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """With the path, so that it can be mended."""
    with pytest.raises(StoreError, match="there is no directory"):
        load(tmp_path / "absent")
