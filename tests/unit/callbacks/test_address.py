"""Which addresses callbacks are refused, in every disguise that resolvers see through."""

from __future__ import annotations

import ipaddress

import pytest

from gateway.callbacks import special_purpose
from gateway.callbacks.address import CallbackRules, check_callback
from gateway.callbacks.errors import CallbackRefused

PRIVATE = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://127。0。0。1/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://a.localhost/",
    "http://metadata.google.internal/",
    "http://169.254.169.254/latest/meta-data",
    "http://168.63.129.16/",
    "http://100.100.100.200/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://0.0.0.0/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:7f00:1::]/",
    "http://[::127.0.0.1]/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[fec0::1]/",
    "http://[fd00:ec2::254]/",
]
MALFORMED = [
    "",
    "example.com",
    "//example.com",
    "ftp://example.com",
    "file:///etc/passwd",
    "http://",
    "http:///path",
    "http://a..b/",
    "http://example.com:0/",
    "http://example.com:99999/",
    "http://example.com:x/",
    "http://user@example.com/",
    "http://example.com@127.0.0.1/",
    "http://example.com/#part",
    "http://example.com\\@127.0.0.1/",
    "http://exa mple.com/",
    "http://example.com/\nHost: x",
    "http://" + "a" * 64 + ".com/",
    "http://[::1/",
    "http://①②⑦.⓪.⓪.①/",
    "https://example.com/" + "a" * 2048,
]
PUBLIC = [
    "https://example.com/hook?a=b",
    "http://93.184.216.34:443/",
    "http://[::ffff:93.184.216.34]/",
    "http://[64:ff9b::5db8:d822]/",
    "https://[2606:2800:220:1:248:1893:25c8:1946]/",
    "https://münchen.de/",
]


@pytest.mark.parametrize("url", [*PRIVATE, *MALFORMED], ids=lambda url: url[:40])
def test_refused(url: str) -> None:
    with pytest.raises(CallbackRefused) as refused:
        check_callback(url, CallbackRules())
    assert (refused.value.http_status, refused.value.code, refused.value.field) == (
        422,
        "callback_refused",
        "callback.url",
    )


@pytest.mark.parametrize("url", PUBLIC)
def test_public_addresses_are_allowed(url: str) -> None:
    check_callback(url, CallbackRules())


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://[::1]/", "http://10.2.3.4/", "http://localhost/"])
def test_private_addresses_can_be_allowed(url: str) -> None:
    check_callback(url, CallbackRules(allow_private=True))


@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "fe80::1", "::ffff:a9fe:a9fe", "100.100.100.200", "::ffff:100.100.100.200"),
        *("168.63.129.16", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
    ],
)
def test_metadata_stays_refused_unless_its_network_is_named(host: str) -> None:
    url = f"http://[{host}]/" if ":" in host else f"http://{host}/"
    with pytest.raises(CallbackRefused):
        check_callback(url, CallbackRules(allow_private=True))
    check_callback(url, CallbackRules.of(True, [host]))


def test_single_networks_can_be_allowed() -> None:
    rules = CallbackRules.of(False, ["10.1.0.0/16", "169.254.169.254/32"])
    check_callback("http://10.1.2.3/", rules)
    check_callback("http://169.254.169.254/", rules)
    for url in ("http://10.2.0.1/", "http://127.0.0.1/"):
        with pytest.raises(CallbackRefused):
            check_callback(url, rules)


REGISTERED = [*special_purpose.IPV4, *special_purpose.IPV6]
#: Carries an IPv4 address, which decides.
NAT64, MAPPED = ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::ffff:0:0/96")


@pytest.mark.parametrize("network", REGISTERED, ids=str)
def test_no_special_purpose_address_is_a_receiver(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
    """The first, the last, and one in the middle of each block of IANA's registries."""
    if network in (NAT64, MAPPED):
        network = ipaddress.ip_network(f"{network[0xA000000]}/120")  # 10.0.0.0/24 in it
    for address in (network[0], network[network.num_addresses // 2], network[-1]):
        assert not CallbackRules().permits(address)


def test_both_registries_are_whole() -> None:
    assert (len(special_purpose.IPV4), len(special_purpose.IPV6)) == (26, 25)
    assert len(set(REGISTERED)) == len(REGISTERED)


#: Addresses that `ipaddress` of Python 3.11 calls global and that are no receivers, by the reason.
STRICTER = {
    "registered since Python's list was made": ("64:ff9b:1::/48", "100:0:0:1::/64", "3fff::/20", "5f00::/16"),
    "the whole block is registered, of which Python names the parts that are not globally reachable": ("192.0.0.0/24",),
    "registered as globally reachable, for a service that is not HTTP": (
        *("192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24", "2620:4f:8000::/48"),
    ),
    "a deprecated anycast of relays": ("192.88.99.0/24",),
    "carries an IPv4 address, which decides, or may reach any": ("64:ff9b::/96", "2002::/16"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "not assigned by IANA, which gives out 2000::/3 alone": (
        *(
            "::/8",
            "100::/8",
            "200::/7",
            "400::/6",
            "800::/5",
            "1000::/4",
            "4000::/3",
            "6000::/3",
            "8000::/3",
            "a000::/3",
        ),
        *("c000::/3", "e000::/4", "f000::/5", "f800::/6", "fe00::/9"),
    ),
    "deprecated site-local": ("fec0::/10",),
}


def edges() -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The first and the last address of each network that either side knows, and their neighbours."""
    known = set(REGISTERED)
    for constants in (ipaddress._IPv4Constants, ipaddress._IPv6Constants):  # type: ignore[attr-defined]
        for value in vars(constants).values():
            known.update(each for each in (value if isinstance(value, list) else [value]) if hasattr(each, "prefixlen"))
    found = set()
    for network in known:
        for number in (int(network[0]), int(network[-1])):
            for near in (number - 1, number, number + 1):
                if 0 <= near < 2**network.max_prefixlen:
                    found.add(type(network[0])(near))
    return found


def test_every_difference_from_python_is_explained() -> None:
    rules, explained = CallbackRules(), [ipaddress.ip_network(each) for some in STRICTER.values() for each in some]
    differing = {address for address in edges() if rules.permits(address) != address.is_global}
    assert len(differing) > 50
    assert [str(address) for address in differing if rules.permits(address)] == []
    unexplained = [
        address
        for address in differing
        if not any(address in network for network in explained if network.version == address.version)
    ]
    assert [str(address) for address in sorted(unexplained, key=str)] == []


@pytest.mark.parametrize(
    "address", ["4000::1", "fec0::1", "ff02::1", "::2", "1::1", "224.0.0.1", "239.1.2.3", "168.63.129.16"]
)
def test_what_no_registry_names_and_nobody_receives_at(address: str) -> None:
    assert not CallbackRules().permits(ipaddress.ip_address(address))


@pytest.mark.parametrize("url", ["http://example.com:22/", "https://example.com:8443/", "http://[2606:2800::1]:6379/"])
def test_ports_of_no_web_server_are_refused(url: str) -> None:
    with pytest.raises(CallbackRefused, match="port"):
        check_callback(url, CallbackRules(allow_private=True))


def test_ports_can_be_allowed() -> None:
    rules = CallbackRules.of(False, [], ["8443", "9000-9002"])
    for port in (80, 443, 8443, 9000, 9002):
        check_callback(f"https://example.com:{port}/", rules)
    for port in (8442, 8999, 9003):
        with pytest.raises(CallbackRefused):
            check_callback(f"https://example.com:{port}/", rules)


@pytest.mark.parametrize("text", ["", "x", "0", "65536", "90-80", "1-70000", "-5"])
def test_a_setting_that_is_no_port(text: str) -> None:
    with pytest.raises(ValueError, match="neither a port nor a range"):
        CallbackRules.of(False, [], [text])
