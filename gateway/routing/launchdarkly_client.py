"""The SDK's client of one flag source, which is replaced when its key is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ldclient import Config, LDClient

from gateway.routing.launchdarkly_sdk import close_client, other_key
from gateway.secret_files import Secret, text_of

#: Longest wait of a start for LaunchDarkly's first answer (seconds); the SDK goes on trying in the background.
START_SECONDS: Final = 1.0


class FlagClient:
    """A client of the SDK keeps its key for good: a new key gets a new client, over the same flags."""

    def __init__(
        self,
        config: Callable[[str], Config],
        key: Secret | None,
        *,
        on_made: Callable[[LDClient], None],
        on_replaced: Callable[[], None],
    ) -> None:
        """`config` takes the present key. `on_made` is told each client before it is used."""
        self._config = config
        self._key = key
        self._on_made = on_made
        self._on_replaced = on_replaced
        self._used_key = ""
        self._rekeying: asyncio.Task[None] | None = None
        self.sdk: LDClient | None = None
        """None before `start`."""

    async def start(self) -> None:
        """Begin to receive flags; returns after `START_SECONDS` at the latest."""
        await self._connect()
        if callable(self._key):
            self._rekeying = asyncio.create_task(self._follow(self._key), name="LaunchDarkly SDK key")

    async def close(self) -> None:
        """Stop receiving flags; events not yet sent are given two seconds."""
        if self._rekeying is not None:
            self._rekeying.cancel()
            await asyncio.wait([self._rekeying])
        if self.sdk is not None:
            await close_client(self.sdk)

    async def _connect(self) -> None:
        if self._key is not None:
            self._used_key = text_of(self._key)
        making = asyncio.create_task(asyncio.to_thread(LDClient, self._config(self._used_key), START_SECONDS))
        try:
            self.sdk = await asyncio.shield(making)
        except asyncio.CancelledError:
            # The thread goes on, and its client would never be closed.
            await close_client(await making)
            raise
        self._on_made(self.sdk)

    async def _follow(self, key: Callable[[], str]) -> None:
        while left := self.sdk:
            await other_key(key, self._used_key)
            await self._connect()
            await close_client(left)
            self._on_replaced()
