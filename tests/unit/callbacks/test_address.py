"""Which addresses callbacks are refused, in every disguise that resolvers see through."""

from __future__ import annotations

import pytest

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
    "http://93.184.216.34:8080/",
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


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://[::1]/", "http://10.2.3.4/", "http://localhost/"])
def test_private_addresses_can_be_allowed(url: str) -> None:
    check_callback(url, CallbackRules(allow_private=True))


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://[fe80::1]/", "http://[::ffff:a9fe:a9fe]/"])
def test_metadata_stays_refused_unless_its_network_is_named(url: str) -> None:
    with pytest.raises(CallbackRefused):
        check_callback(url, CallbackRules(allow_private=True))


def test_single_networks_can_be_allowed() -> None:
    rules = CallbackRules.of(False, ["10.1.0.0/16", "169.254.169.254/32"])
    check_callback("http://10.1.2.3/", rules)
    check_callback("http://169.254.169.254/", rules)
    for url in ("http://10.2.0.1/", "http://127.0.0.1/"):
        with pytest.raises(CallbackRefused):
            check_callback(url, rules)
