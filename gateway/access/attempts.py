"""A limit of failed attempts to use a key, per address of clients."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gateway.access.buckets import Buckets
from gateway.errors import TooManyAttempts

#: Keys that are known to have been valid; beyond, the oldest are forgotten.
MOST_KEYS: Final = 10_000


class FailedAttempts:
    """An address has `most` failed attempts a minute (0: any number); further ones are told only "too many".

    It never refuses a valid key: many clients can share one address, that of their proxy or NAT. What it bounds is
    the load: keys from an address that has no attempt left, and that were not valid here before, are looked up slowly.
    """

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._failed = Buckets(clock=clock)
        self._valid: OrderedDict[str, None] = OrderedDict()

    def is_suspect(self, address: str, key_hash: str | None) -> bool:
        """Whether the key is to be looked up slowly."""
        if not self._most or not address or key_hash in self._valid:
            return False
        return self._failed.wait(network_of(address), self._most) > 0

    def failed(self, address: str, key_hash: str | None) -> None:
        """The key is not valid, or not any more. Raises `TooManyAttempts` beyond the limit."""
        if key_hash is not None:
            self._valid.pop(key_hash, None)
        if self._most and address and (wait := self._failed.take(network_of(address), self._most)):
            raise TooManyAttempts(retry_after=wait)

    def succeeded(self, key_hash: str | None) -> None:
        """The key is valid."""
        if key_hash is None or not self._most:
            return
        self._valid[key_hash] = None
        self._valid.move_to_end(key_hash)
        if len(self._valid) > MOST_KEYS:
            self._valid.popitem(last=False)


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
