"""Failed attempts by address: beyond a limit they are told less, and looked up slowly."""

from __future__ import annotations

import pytest

from gateway.access import attempts
from gateway.access.attempts import FailedAttempts, network_of
from gateway.errors import TooManyAttempts


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_address_has_so_many_attempts_a_minute() -> None:
    clock = Clock()
    limit = FailedAttempts(6, clock=clock)
    for _ in range(6):
        assert not limit.is_suspect("192.0.2.1", "wrong")
        limit.failed("192.0.2.1", "wrong")
    assert limit.is_suspect("192.0.2.1", "wrong")
    for _ in range(100):  # those beyond the limit do not count
        with pytest.raises(TooManyAttempts) as refused:
            limit.failed("192.0.2.1", "wrong")
    assert refused.value.retry_after == 10
    assert not limit.is_suspect("192.0.2.2", "wrong")
    clock.now += 10
    assert not limit.is_suspect("192.0.2.1", "wrong")
    limit.failed("192.0.2.1", "wrong")


def test_a_key_that_was_valid_is_not_suspect_until_it_fails() -> None:
    limit = FailedAttempts(1, clock=Clock())
    limit.succeeded("good")
    limit.failed("192.0.2.1", "wrong")
    assert not limit.is_suspect("192.0.2.1", "good")
    with pytest.raises(TooManyAttempts):
        limit.failed("192.0.2.1", "good")
    assert limit.is_suspect("192.0.2.1", "good")


def test_without_a_limit_or_an_address_nothing_is_counted() -> None:
    for limit, address in ((FailedAttempts(0), "192.0.2.1"), (FailedAttempts(1), "")):
        for _ in range(3):
            limit.failed(address, "wrong")
            assert not limit.is_suspect(address, "wrong")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MOST_KEYS", 100)
    limit = FailedAttempts(1, clock=Clock())
    for n in range(1000):
        limit.succeeded(str(n))
    limit.failed("192.0.2.1", None)
    assert [limit.is_suspect("192.0.2.1", str(n)) for n in (0, 899, 900, 999)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("a:b", "a:b"),
    ],
)
def test_one_client_is_one_address(address: str, network: str) -> None:
    assert network_of(address) == network
