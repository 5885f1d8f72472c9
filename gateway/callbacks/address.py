"""The addresses that callbacks may go to: none of the gateway's own network, unless a setting allows it.

They are checked twice: when a task is submitted, as far as possible without a look-up (`check_callback`), and when a
callback is sent, by the present addresses of its name (`gateway.callbacks.sending`).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

import httpx

from gateway.callbacks import special_purpose
from gateway.callbacks.errors import CallbackRefused
from gateway.callbacks.ports import WEB_PORTS, ports_of

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST_URL: Final = 2048

#: Names of this machine or a private network; they are refused without a look-up.
_PRIVATE_NAMES = ("localhost", "local", "internal", "home.arpa", "localdomain", "intranet", "lan")
#: IPv6 networks in which a resolver or a gateway hides an IPv4 address, which then counts: mapped, and NAT64.
_CARRIERS = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96"))
#: The only public unicast addresses of IPv6; the rest of 2000::/3 and of IPv4 is public where no registry names it.
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
#: In no registry, and no receiver all the same.
_MULTICAST = ipaddress.IPv4Network("224.0.0.0/4")
#: Where clouds answer their machines, also with credentials: link-local, and of Alibaba, Azure, Amazon and Google.
_METADATA = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32"),
        *("fe80::/10", "fd00:ec2::/32", "fd20:ce::254/128"),
    )
)
#: The networks that `allow_private` allows.
_LOCAL = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7"),
    )
)
_NAME = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")


@dataclass(frozen=True, slots=True)
class CallbackRules:
    """Exceptions: what is allowed in addition to public addresses and the ports 80 and 443.

    `allow_private` opens loopback and private networks; addresses where clouds keep their metadata need an entry in
    `networks` all the same.
    """

    allow_private: bool = False
    networks: tuple[Network, ...] = ()
    ports: tuple[range, ...] = ()

    @classmethod
    def of(cls, allow_private: bool, networks: Iterable[str], ports: Iterable[str] = ()) -> CallbackRules:
        """From settings. Raises `ValueError` for what is no network or no port."""
        return cls(allow_private, tuple(ipaddress.ip_network(network) for network in networks), ports_of(ports))

    def permits(self, address: Address) -> bool:
        """Whether a callback may be sent to this address."""
        if _is_in(self.networks, address):
            return True
        return self._permits_plain(_seen_through(address))

    def permits_name(self, name: str) -> bool:
        """Whether a host name may be looked up at all."""
        if self.allow_private or self.networks:
            return True
        return not any(name == private or name.endswith(f".{private}") for private in _PRIVATE_NAMES)

    def permits_port(self, port: int) -> bool:
        """Whether a callback may be sent to this port."""
        return any(port in ports for ports in (*WEB_PORTS, *self.ports))

    def _permits_plain(self, address: Address) -> bool:
        if _is_in(_METADATA, address):
            return False
        if self.allow_private and _is_in(_LOCAL, address):
            return True
        if isinstance(address, ipaddress.IPv4Address):
            return address not in _MULTICAST and not _is_in(special_purpose.IPV4, address)
        return address in _PUBLIC_V6 and not _is_in(special_purpose.IPV6, address)


def check_callback(url: str, rules: CallbackRules) -> None:
    """Raises `CallbackRefused` for a URL that no callback is sent to, as far as that is known without a resolver."""
    parsed = parse_url(url)
    check_port(parsed, rules)
    host = host_of(parsed)
    address = literal(host)
    if address is None:
        if not rules.permits_name(host):
            raise CallbackRefused(f"Callbacks are not sent to {host}: it is a private name.")
    elif not rules.permits(address):
        raise CallbackRefused(f"Callbacks are not sent to {address}: it is a private address.")


def parse_url(url: str) -> httpx.URL:
    """The URL as it will be sent to. Raises `CallbackRefused` for what cannot be one."""
    if len(url) > LONGEST_URL:
        raise CallbackRefused(f"The URL of a callback may have at most {LONGEST_URL} characters.")
    # Characters that parsers drop or change could hide the real destination.
    if not url.isprintable() or " " in url or "\\" in url:
        raise CallbackRefused("The URL of a callback contains characters that are not allowed.")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, TypeError):
        raise CallbackRefused("The URL of a callback is not valid.") from None
    if parsed.scheme not in ("http", "https"):
        raise CallbackRefused("The URL of a callback must be http or https.")
    host, port = parsed.raw_host.decode("ascii", "replace"), 80 if parsed.port is None else parsed.port
    if not (":" in host or _NAME.fullmatch(host)) or len(host) > 253 or not 0 < port < 2**16:
        raise CallbackRefused("The URL of a callback has no valid host, or no valid port.")
    if parsed.userinfo or parsed.fragment:
        raise CallbackRefused("The URL of a callback must not have a user, password or fragment.")
    return parsed


def check_port(url: httpx.URL, rules: CallbackRules) -> None:
    """Raises `CallbackRefused` for a port that no callback is sent to."""
    if not rules.permits_port(port := port_of(url)):
        raise CallbackRefused(f"Callbacks are not sent to port {port}.")


def port_of(url: httpx.URL) -> int:
    """The port that a URL names, or that its scheme stands for."""
    return url.port or (443 if url.scheme == "https" else 80)


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


def _is_in(networks: Iterable[Network], address: Address) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _seen_through(address: Address) -> Address:
    """The address itself, or the IPv4 address that it carries."""
    if _is_in(_CARRIERS, address):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
