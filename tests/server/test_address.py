"""Which client a connection speaks for."""

import pytest

from syncd.server.address import ClientAddresses


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ([], "203.0.113.9", [], "203.0.113.9"),
        ([], "203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        (["10.0.0.0/8"], "203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        (["10.0.0.0/8"], "10.0.0.7", ["198.51.100.1"], "198.51.100.1"),
        (["10.0.0.0/8"], "10.0.0.7", ["192.0.2.66", "198.51.100.1"], "198.51.100.1"),
        (["10.0.0.0/8"], "10.0.0.7", ["198.51.100.1", " 10.0.0.8 "], "198.51.100.1"),
        (["10.0.0.0/8"], "10.0.0.7", ["10.0.0.9"], "10.0.0.9"),
        (["10.0.0.0/8"], "10.0.0.7", ["nonsense"], "10.0.0.7"),
        (["10.0.0.0/8"], "10.0.0.7", ["198.51.100.1", ""], "10.0.0.7"),
        (["10.0.0.0/8"], "::ffff:10.0.0.7", ["198.51.100.1"], "198.51.100.1"),
        (["::1"], "::1", ["2001:db8::1"], "2001:db8::/64"),
        ([], "2001:db8:0:7:1:2:3:4", [], "2001:db8:0:7::/64"),
        ([], "fe80::1%eth0", [], "fe80::/64"),
        ([], "", [], "unknown"),
    ],
)
def test_address(trusted: list[str], peer: str, forwarded: list[str], expected: str) -> None:
    """What a trusted proxy wrote counts, what the client wrote before it does not."""
    assert ClientAddresses(trusted).resolve(peer, forwarded) == expected
