"""A limit of failed attempts to use a key, per address of clients."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gateway.errors import TooManyAttempts

#: Addresses whose failures are counted, and keys that are known to have been valid; beyond, the oldest are forgotten.
MOST_ADDRESSES: Final = 10_000
MOST_KEYS: Final = 10_000


class FailedAttempts:
    """Counts by address, in memory: each gateway has its own counts.

    A bucket of `most` attempts fills up again within a minute. A key that was valid here before passes from an address
    that has none left, so that a client is not shut out by its neighbour behind one proxy or NAT.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._valid: OrderedDict[str, None] = OrderedDict()

    def check(self, address: str, key_hash: str | None) -> None:
        """Before the key is looked up. Raises `TooManyAttempts`."""
        if not self._most or key_hash in self._valid or not address:
            return
        spent = self._spent_now(network_of(address))
        if spent + 1 > self._most:
            raise TooManyAttempts(retry_after=max(1, math.ceil((spent + 1 - self._most) * 60 / self._most)))

    def failed(self, address: str, key_hash: str | None) -> None:
        """The key is not valid, or not any more."""
        if key_hash is not None:
            self._valid.pop(key_hash, None)
        if self._most and address:
            network = network_of(address)
            self._spent[network] = (self._spent_now(network) + 1, self._clock())
            self._spent.move_to_end(network)
            if len(self._spent) > MOST_ADDRESSES:
                self._spent.popitem(last=False)

    def succeeded(self, key_hash: str | None) -> None:
        """The key is valid."""
        if key_hash is None or not self._most:
            return
        self._valid[key_hash] = None
        self._valid.move_to_end(key_hash)
        if len(self._valid) > MOST_KEYS:
            self._valid.popitem(last=False)

    def _spent_now(self, network: str) -> float:
        spent, at = self._spent.get(network, (0.0, 0.0))
        return max(0.0, spent - (self._clock() - at) * self._most / 60)


def network_of(address: str) -> str:
    """What counts as one address: of IPv6 the network of 64 bits, which is one client's."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped is not None else str(ipaddress.IPv6Network((int(parsed), 64), strict=False))
