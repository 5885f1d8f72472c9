"""Whose call it is: proxies are believed only where they are trusted."""

from __future__ import annotations

import pytest

from gateway.rpc.peers import Proxies


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        ((), "ipv4:192.0.2.1:5000", None, "192.0.2.1"),
        ((), "ipv4:192.0.2.1:5000", "198.51.100.1", "192.0.2.1"),
        ((), "ipv6:%5B2001:db8::1%5D:5000", None, "2001:db8::1"),
        ((), "unix:/run/gateway", "198.51.100.1", ""),
        (("192.0.2.0/24",), "ipv4:192.0.2.1:5000", None, "192.0.2.1"),
        (("192.0.2.0/24",), "ipv4:192.0.2.1:5000", "198.51.100.1", "198.51.100.1"),
        (("192.0.2.0/24",), "ipv4:192.0.2.1:5000", "203.0.113.9, 198.51.100.1, 192.0.2.7", "198.51.100.1"),
        (("192.0.2.0/24",), "ipv4:192.0.2.1:5000", "192.0.2.8, 192.0.2.7", "192.0.2.8"),
        (("192.0.2.0/24", "nonsense"), "ipv4:192.0.2.1:5000", " , ", "192.0.2.1"),
        (("*",), "unix:/run/gateway", "203.0.113.9, 198.51.100.1", "203.0.113.9"),
    ],
)
def test_the_client_of_a_call(trusted: tuple[str, ...], peer: str, forwarded: str | None, client: str) -> None:
    assert Proxies(trusted).client(peer, forwarded) == client
