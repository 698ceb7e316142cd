"""Vapid: by what push services know this server (RFC 8292), a key pair kept beside the store.

Browsers subscribe with the public key, so a server that loses the private one has lost every subscription. Knows
nothing of messages.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from syncd.core.errors import StoreDamaged
from syncd.server.hooks.channels.encryption import to_text64
from syncd.store.faults import os_error

#: Push services take a token for 24 hours at most; a used one is good for half of that at the least.
TOKEN_TTL_S = 12 * 3_600
#: Tokens kept, one a push service: there are a handful in the world.
_TOKENS_MAX = 64


class Vapid:
    """Signs what is sent to push services.

    1. The private key leaves this object only into its file, which nobody but its owner may read.
    2. A token is used again for half its life: signing costs more than all else in a push.

    `contact` is a `mailto:` or `https:` URL by which a push service reaches the operator, empty for none.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey, *, contact: str = "", clock: Callable[[], float]) -> None:
        self._key = key
        self._contact = contact
        self._clock = clock
        self._tokens: dict[str, tuple[str, float]] = {}
        self.public_key = to_text64(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

    @classmethod
    def load(cls, path: Path, *, contact: str = "", clock: Callable[[], float]) -> Self:
        """Return the one of a key file, which is made if it is not there.

        Raises:
            StoreDamaged: the file holds no such key.
            StoreError: it can be neither read nor written.
        """
        try:
            try:
                pem = path.read_bytes()
            except FileNotFoundError:
                pem = _make(path)
        except OSError as error:
            raise os_error(error, path) from error
        try:
            key = load_pem_private_key(pem, password=None)
        except ValueError:
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise StoreDamaged(
                f"{path}: this is no private key for pushes (P-256, PEM); restore it, or remove it: a new one is made, "
                "and browsers subscribe again when they are opened"
            )
        return cls(key, contact=contact, clock=clock)

    def authorization(self, endpoint: str) -> str:
        """Return the header `Authorization` for a request to `endpoint`."""
        parts = urlsplit(endpoint)
        audience = f"{parts.scheme}://{parts.netloc}"
        now = self._clock()
        token, until = self._tokens.get(audience, ("", 0.0))
        if until - now < TOKEN_TTL_S / 2:  # Invariant 2.
            until = int(now) + TOKEN_TTL_S
            claims: dict[str, object] = {"aud": audience, "exp": until}
            if self._contact:
                claims["sub"] = self._contact
            token = jwt.encode(claims, self._key, algorithm="ES256")
            if len(self._tokens) >= _TOKENS_MAX:
                self._tokens.clear()
            self._tokens[audience] = token, until
        return f"vapid t={token}, k={self.public_key}"


def _make(path: Path) -> bytes:
    """Make a key and its file, whole or not at all; if another process was faster, return what it made."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # Invariant 1.
    try:
        os.write(file, pem)
        os.fsync(file)
    finally:
        os.close(file)
    try:
        os.link(draft, path)
    except FileExistsError:
        return path.read_bytes()
    finally:
        draft.unlink()
    return pem
