"""Where callbacks may go: no address of the gateway's own network, unless a setting allows it.

Checked twice. When a task is submitted, by what can be known without asking anybody (`check_callback`); and when a
callback is sent, by the addresses that its name has then (`gateway.callbacks.sending`).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import httpx

from gateway.callbacks.errors import CallbackRefused

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST_URL: Final = 2048

#: Names that stand for this machine or a private network, whatever a resolver says.
_PRIVATE_NAMES = ("localhost", "local", "internal", "home.arpa", "localdomain", "intranet", "lan")
#: IPv6 networks that carry an IPv4 address, and the bits below it.
_CARRIERS = tuple(
    (ipaddress.IPv6Network(network), shift)
    for network, shift in (("64:ff9b::/96", 0), ("::/96", 0), ("2002::/16", 80), ("::ffff:0:0/96", 0))
)
#: Private, though they look public: Azure's wire server, the old 6to4 relays, IPv6's first private network.
_MORE_PRIVATE = tuple(ipaddress.ip_network(network) for network in ("168.63.129.16/32", "192.88.99.0/24", "fec0::/10"))
_EVERYBODY = ipaddress.IPv4Address("255.255.255.255")
_NAME = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")


@dataclass(frozen=True, slots=True)
class CallbackRules:
    """What is allowed beyond public addresses.

    `allow_private` opens loopback and private networks; link-local addresses, where clouds keep their metadata, need
    an entry in `networks` all the same.
    """

    allow_private: bool = False
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, allow_private: bool, networks: Iterable[str]) -> CallbackRules:
        """From settings. Raises `ValueError` for what is no network."""
        return cls(allow_private, tuple(ipaddress.ip_network(network) for network in networks))

    def permits(self, address: Address) -> bool:
        """Whether a callback may be sent to this address."""
        if any(address in network for network in self.networks if network.version == address.version):
            return True
        return all(self._permits_plain(plain) for plain in _seen_through(address))

    def permits_name(self, name: str) -> bool:
        """Whether a host name may be looked up at all."""
        if self.allow_private or self.networks:
            return True
        return not any(name == private or name.endswith(f".{private}") for private in _PRIVATE_NAMES)

    def _permits_plain(self, address: Address) -> bool:
        if address.is_multicast or address.is_unspecified or address.is_link_local or address == _EVERYBODY:
            return False
        if address.is_reserved and not address.is_loopback:
            return False
        is_public = address.is_global and not any(
            address in network for network in _MORE_PRIVATE if network.version == address.version
        )
        return is_public or self.allow_private


def check_callback(url: str, rules: CallbackRules) -> None:
    """Raises `CallbackRefused` for a URL that no callback is sent to, as far as that is known without a resolver."""
    host = host_of(parse_url(url))
    address = literal(host)
    if address is None:
        if not rules.permits_name(host):
            raise CallbackRefused(f"Callbacks are not sent to {host}: it is a private name.")
    elif not rules.permits(address):
        raise CallbackRefused(f"Callbacks are not sent to {address}: it is a private address.")


def parse_url(url: str) -> httpx.URL:
    """The URL as it will be sent to. Raises `CallbackRefused` for what cannot be one."""
    if len(url) > LONGEST_URL:
        raise CallbackRefused(f"The URL of a callback is at most {LONGEST_URL} characters long.")
    # What a parser would drop or turn around may hide where the request goes.
    if not url.isprintable() or " " in url or "\\" in url:
        raise CallbackRefused("The URL of a callback holds characters that no URL has.")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, TypeError):
        raise CallbackRefused("The URL of a callback is not valid.") from None
    if parsed.scheme not in ("http", "https"):
        raise CallbackRefused("A callback is sent over http or https.")
    host, port = parsed.raw_host.decode("ascii", "replace"), 80 if parsed.port is None else parsed.port
    if not (":" in host or _NAME.fullmatch(host)) or len(host) > 253 or not 0 < port < 2**16:
        raise CallbackRefused("The URL of a callback names no host, or no port, that can exist.")
    if parsed.userinfo or parsed.fragment:
        raise CallbackRefused("The URL of a callback has no user, password or fragment.")
    return parsed


def host_of(url: httpx.URL) -> str:
    """The host as resolvers are asked for it."""
    return url.raw_host.decode("ascii").rstrip(".").lower()


def literal(host: str) -> Address | None:
    """The address that a host spells out, in any form that a resolver takes for one (`127.1`, `0x7f000001`)."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        return None


def _seen_through(address: Address) -> Iterator[Address]:
    """The address itself, or the IPv4 address that it carries, and what else it may reach."""
    if isinstance(address, ipaddress.IPv6Address):
        for network, shift in _CARRIERS:
            # `::` and `::1` are no carriers.
            if address in network and int(address) > 1:
                yield ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
                return
        if address.teredo is not None:
            yield address.teredo[1]
    yield address
