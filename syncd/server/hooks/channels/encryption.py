"""Encryption of push messages for one browser (RFC 8291, in one record of RFC 8188): the push service reads nothing.

Pure but for chance. The arithmetic is `cryptography`'s; here is only what the two documents say to put together.
"""

import base64
import os
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

#: One record, as push services take it (RFC 8291, section 4).
RECORD_BYTES = 4_096
AUTH_BYTES = 16
#: An uncompressed point of P-256.
POINT_BYTES = 65
#: Salt, record size, length of the key, key.
_HEAD_BYTES = 16 + 4 + 1 + POINT_BYTES
_TAG_BYTES = 16
#: The longest message that fits a record, behind its header, with its delimiter.
PAYLOAD_BYTES_MAX = RECORD_BYTES - _HEAD_BYTES - _TAG_BYTES - 1


def to_text64(data: bytes) -> str:
    """Return bytes as browsers and push services write them: base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_text64(text: str) -> bytes:
    """Return the bytes of such a text.

    Raises:
        ValueError: it is none.
    """
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def check_keys(p256dh: bytes, auth: bytes) -> None:
    """Check what a browser subscribed with.

    Raises:
        ValueError: it is no point of the curve, or the secret is of another length.
    """
    if len(auth) != AUTH_BYTES:
        raise ValueError(f"auth is {AUTH_BYTES} bytes")
    if len(p256dh) != POINT_BYTES:
        raise ValueError(f"p256dh is an uncompressed point of P-256, {POINT_BYTES} bytes")
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), p256dh)


def encrypt(
    payload: bytes,
    p256dh: bytes,
    auth: bytes,
    *,
    key: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """Return the body of a push message. `key` and `salt` are made anew for each one; given, they are a test's.

    Raises:
        ValueError: the payload is over `PAYLOAD_BYTES_MAX`, or the keys are none.
    """
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"a push holds {PAYLOAD_BYTES_MAX} bytes at most, not {len(payload)}")
    check_keys(p256dh, auth)
    own = key or ec.generate_private_key(ec.SECP256R1())
    salt = salt or os.urandom(16)
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), p256dh)
    point = own.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    # RFC 8291, section 3.4: what both know, the browser's secret mixed in, bound to both public keys.
    secret = _derive(own.exchange(ec.ECDH(), theirs), auth, b"WebPush: info\0" + p256dh + point, 32)
    content_key = _derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(secret, salt, b"Content-Encoding: nonce\0", 12)
    sealed = AESGCM(content_key).encrypt(nonce, payload + b"\x02", None)  # 2: the last record, without padding.
    return salt + struct.pack("!LB", RECORD_BYTES, len(point)) + point + sealed


def _derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)
