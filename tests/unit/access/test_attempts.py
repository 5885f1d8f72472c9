"""Failed attempts by address, and requests by key: refused beyond a limit, with bounded memory."""

from __future__ import annotations

import pytest

from gateway.access import attempts
from gateway.access.attempts import FailedAttempts, network_of
from gateway.access.key_rates import KeyRates
from gateway.errors import KeyRateExceeded, TooManyAttempts


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_address_has_so_many_attempts_a_minute() -> None:
    clock = Clock()
    limit = FailedAttempts(6, clock=clock)
    for _ in range(6):
        limit.check("192.0.2.1", "wrong")
        limit.failed("192.0.2.1", "wrong")
    with pytest.raises(TooManyAttempts) as refused:
        limit.check("192.0.2.1", "wrong")
    assert refused.value.retry_after == 10
    limit.check("192.0.2.2", "wrong")
    clock.now += 10
    limit.check("192.0.2.1", "wrong")


def test_a_key_that_was_valid_passes_until_it_fails() -> None:
    limit = FailedAttempts(1, clock=Clock())
    limit.succeeded("good")
    limit.failed("192.0.2.1", "wrong")
    limit.check("192.0.2.1", "good")
    limit.failed("192.0.2.1", "good")
    with pytest.raises(TooManyAttempts):
        limit.check("192.0.2.1", "good")


def test_without_a_limit_or_an_address_nothing_is_counted() -> None:
    for limit, address in ((FailedAttempts(0), "192.0.2.1"), (FailedAttempts(1), "")):
        for _ in range(3):
            limit.failed(address, "wrong")
            limit.check(address, "wrong")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MOST_ADDRESSES", 100)
    monkeypatch.setattr(attempts, "MOST_KEYS", 100)
    limit = FailedAttempts(1, clock=Clock())
    for n in range(1000):
        limit.failed(f"10.0.{n // 250}.{n % 250}", None)
        limit.succeeded(str(n))
    assert (len(limit._spent), len(limit._valid)) == (100, 100)
    limit.check("10.0.0.0", "x")  # forgotten
    with pytest.raises(TooManyAttempts):
        limit.check("10.0.3.249", "x")


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


def test_a_key_has_so_many_requests_a_minute() -> None:
    clock = Clock()
    rates = KeyRates(clock=clock)
    for _ in range(30):
        rates.charge("k", 30)
    with pytest.raises(KeyRateExceeded) as refused:
        rates.charge("k", 30)
    assert refused.value.retry_after == 2
    rates.charge("other", 30)
    clock.now += 2
    rates.charge("k", 30)
    with pytest.raises(KeyRateExceeded):
        rates.charge("k", 30)
