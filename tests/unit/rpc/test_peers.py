"""Whose call it is: proxies are believed only where they are trusted."""

from __future__ import annotations

from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from gateway.rpc.peers import Proxies, client_of


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
        (("192.0.2.0/24",), "ipv4:192.0.2.1:5000", "203.0.113.9, 198.51.100.1:4711", "198.51.100.1"),
        (("192.0.2.0/24",), "ipv4:192.0.2.1:5000", "203.0.113.9, [2001:db8::7]:4711", "2001:db8::7"),
        (("192.0.2.0/24",), "ipv4:192.0.2.1:5000", "203.0.113.9, unknown", "unknown"),
        (("192.0.2.0/24",), "ipv4:192.0.2.1:5000", "203.0.113.9, ", "192.0.2.1"),
        (("192.0.2.1/24",), "ipv4:192.0.2.1:5000", "198.51.100.1", "192.0.2.1"),
        (("192.0.2.0/24", "nonsense"), "ipv4:192.0.2.1:5000", " , ", "192.0.2.1"),
        (("*",), "unix:/run/gateway", "203.0.113.9, 198.51.100.1", "203.0.113.9"),
    ],
)
async def test_the_client_of_a_call(trusted: tuple[str, ...], peer: str, forwarded: str | None, client: str) -> None:
    assert Proxies(trusted).client(peer, forwarded) == client
    assert await over_http(trusted, peer, forwarded) == client


async def over_http(trusted: tuple[str, ...], peer: str, forwarded: str | None) -> str:
    """Whose request it is over HTTP, where uvicorn says so."""
    found: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(scope["client"][0] if scope["client"] else "")

    address = Proxies(()).client(peer, None)
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    scope: Any = {"type": "http", "client": (address, 5000) if address else None, "headers": headers}
    unused: Any = None
    await ProxyHeadersMiddleware(app, list(trusted))(scope, unused, unused)
    return found[0]


def test_each_proxy_may_add_a_line_of_its_own() -> None:
    """What the client wrote itself comes first, and is not believed."""
    context: Any = Call(("x-forwarded-for", "203.0.113.9"), ("other", "x"), ("x-forwarded-for", b"198.51.100.1"))
    assert client_of(context, Proxies(["192.0.2.1"])) == "198.51.100.1"


class Call:
    """A call as far as its client is concerned."""

    def __init__(self, *metadata: tuple[str, str | bytes]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._metadata

    def peer(self) -> str:
        return "ipv4:192.0.2.1:5000"
