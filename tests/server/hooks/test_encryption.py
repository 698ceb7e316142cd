"""What is sent to browsers is what RFC 8291 says, and another implementation reads it."""

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from syncd.server.hooks.channels.encryption import PAYLOAD_BYTES_MAX, RECORD_BYTES, check_keys, encrypt, from_text64

AUTH = bytes(range(16))


def receiver() -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """A browser's key pair."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key, key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def test_the_example_of_the_standard_comes_out_byte_for_byte() -> None:
    """RFC 8291, section 5, with its keys and its salt."""
    number = int.from_bytes(from_text64("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big")
    sealed = encrypt(
        b"When I grow up, I want to be a watermelon",
        from_text64("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
        from_text64("BTBZMqHH6r4Tts7J_aSIgg"),
        key=ec.derive_private_key(number, ec.SECP256R1()),
        salt=from_text64("DGv6ra1nlYgDCS1FRnbzlw"),
    )

    assert sealed == from_text64(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl"
        "7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@pytest.mark.parametrize("size", [0, 1, 100, PAYLOAD_BYTES_MAX])
def test_a_browser_reads_what_was_sealed_for_it(size: int) -> None:
    """Of every size that fits one record, which is what a push service takes."""
    key, point = receiver()
    payload = b"x" * size
    sealed = encrypt(payload, point, AUTH)

    assert len(sealed) <= RECORD_BYTES
    assert http_ece.decrypt(sealed, private_key=key, auth_secret=AUTH) == payload


def test_no_two_messages_are_sealed_alike() -> None:
    """Each has a key and a salt of its own."""
    _, point = receiver()

    assert len({encrypt(b"the same", point, AUTH) for _ in range(20)}) == 20


def test_nobody_else_reads_it() -> None:
    """Neither another browser, nor one with another secret."""
    key, point = receiver()
    other, _ = receiver()
    sealed = encrypt(b"private", point, AUTH)

    with pytest.raises(http_ece.ECEException):
        http_ece.decrypt(sealed, private_key=other, auth_secret=AUTH)
    with pytest.raises(http_ece.ECEException):
        http_ece.decrypt(sealed, private_key=key, auth_secret=bytes(16))


def test_what_does_not_fit_is_refused() -> None:
    """Not cut, and not sent in two records, of which browsers read one."""
    _, point = receiver()
    with pytest.raises(ValueError, match="bytes at most"):
        encrypt(b"x" * (PAYLOAD_BYTES_MAX + 1), point, AUTH)


@pytest.mark.parametrize(
    ("point", "auth"),
    [
        (b"", AUTH),
        (b"\x04" + bytes(64), AUTH),
        (b"\x04" + b"\xff" * 64, AUTH),
        (receiver()[1][:-1], AUTH),
        (b"\x02" + receiver()[1][1:33], AUTH),
        (receiver()[1], AUTH[:-1]),
        (receiver()[1], AUTH + b"x"),
    ],
)
def test_keys_that_are_none_are_refused(point: bytes, auth: bytes) -> None:
    """No point of the curve, another form of one, a secret of another length."""
    with pytest.raises(ValueError, match=r"."):
        check_keys(point, auth)


@pytest.mark.parametrize("text", ["*", "a", "ä", "ab=c", "a b"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    """Nothing is skipped over."""
    with pytest.raises(ValueError, match=r"."):
        from_text64(text)
