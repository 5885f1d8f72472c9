"""Whose call it is: the peer of the connection, or whom the proxies in front name."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import unquote

import grpc

#: The metadata of proxies.
FORWARDED = "x-forwarded-for"


class Proxies:
    """The proxies whose `x-forwarded-for` is believed, as over HTTP (`trusted_proxies`)."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._all = "*" in trusted
        # What is neither, such as 192.0.2.1/24, is none; settings do not have it.
        self._networks: list[IPv4Network | IPv6Network] = [
            network for text in trusted if (network := _network(text)) is not None
        ]

    def client(self, peer: str, forwarded: str | None) -> str:
        """The address of the client: the last one in the list that is no trusted proxy; empty: unknown."""
        address = _address(peer)
        if not forwarded or not self._trusts(address):
            return address
        hops = [_host(hop.strip()) for hop in forwarded.split(",")]
        if self._all:
            return hops[0] or address
        return next((hop for hop in reversed(hops) if not self._trusts(hop)), hops[0]) or address

    def _trusts(self, address: str) -> bool:
        if self._all:
            return True
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def client_of(context: grpc.aio.ServicerContext[Any, Any], proxies: Proxies) -> str:
    """The address of the client of a call."""
    # Each proxy may have added a line of its own, after those that it was sent. (Today's gRPC keeps the last one only.)
    given = [
        value.decode("latin-1") if isinstance(value, bytes) else value
        for name, value in context.invocation_metadata() or ()
        if name == FORWARDED
    ]
    return proxies.client(context.peer(), ", ".join(given))


def _address(peer: str) -> str:
    """Of grpc's words for a peer: `ipv4:127.0.0.1:5000`, `ipv6:%5B::1%5D:5000`."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""


def _host(hop: str) -> str:
    """Without the port that a proxy may have written: `192.0.2.1:5000`, `[::1]:5000`."""
    if hop.startswith("["):
        host, bracket, rest = hop[1:].partition("]")
        return host if bracket and (not rest or rest.startswith(":")) else hop
    host, _, port = hop.rpartition(":")
    return host if hop.count(":") == 1 and port.isdecimal() else hop


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None
