"""The use of keys: the last time, and requests beyond their roles. Written for many keys at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import asyncpg

from gateway.access.verbs import Verb
from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from gateway.storage.queries import Queries

log = logging.getLogger(__name__)
SQL = Queries("gateway.access", "access.sql")

#: Pause between two writes (seconds): the most by which `last_used_at` lags behind.
PAUSE = 0.5
#: Addresses that are kept of a key: those of its newest uses.
MOST_ADDRESSES = 32
#: Uses by key and address between two writes; further ones are noted without their address.
MOST_WAITING = 10_000


class KeyUse:
    """Collects uses of keys, and stores them every `pause` seconds if there are any."""

    def __init__(self, database: Database, pause: float = PAUSE) -> None:
        self._db = database
        self._pause = pause
        self._used: dict[str, datetime] = {}
        self._seen: dict[tuple[str, str], datetime] = {}
        self._beyond: Counter[tuple[str, str]] = Counter()
        self._writer: asyncio.Task[None] | None = None

    def note(self, key_id: str, address: str = "") -> None:
        """A request with this key was verified just now; `address`: of the client, empty when it is not known."""
        now = self._used[key_id] = datetime.now(UTC)
        if address and len(self._seen) < MOST_WAITING:
            self._seen[key_id, address] = now
        self._write_later()

    def note_beyond_roles(self, key_id: str, verb: Verb) -> None:
        """A request over a legacy endpoint was served, which a rule would have refused."""
        self._beyond[key_id, verb.name.lower()] += 1
        self._write_later()

    async def legacy_use(self) -> list[dict[str, Any]]:
        """By key and verb, what went beyond its roles, the most first. Raises `DatabaseUnavailable`."""
        return [dict(row) for row in await self._db.fetch(SQL.legacy_use)]

    def _write_later(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_soon())

    async def close(self) -> None:
        """Write what is not yet written."""
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
        await self._write()

    async def _write_soon(self) -> None:
        while self._used or self._beyond:
            await asyncio.sleep(self._pause)
            await self._write()

    async def _write(self) -> None:
        used, self._used = self._used, {}
        beyond, self._beyond = self._beyond, Counter()
        seen, self._seen = self._seen, {}
        try:
            if used:
                ids = sorted(used)
                await self._db.execute(SQL.touch, ids, [used[key_id] for key_id in ids])
            if seen:
                await self._write_addresses(seen)
            if beyond:
                keys, verbs = zip(*beyond, strict=True)
                await self._db.execute(SQL.beyond_roles, keys, verbs, list(beyond.values()))
        except asyncio.CancelledError:
            self._used = used | self._used
            self._seen = seen | self._seen
            self._beyond += beyond
            raise
        except (DatabaseUnavailable, asyncpg.PostgresError) as error:
            # Only logged: the requests themselves were served.
            log.warning("the last use of %d keys was not recorded: %s", len(used), type(error).__name__)

    async def _write_addresses(self, seen: dict[tuple[str, str], datetime]) -> None:
        pairs = sorted(seen)  # in one order everywhere, so that two gateways do not wait for each other
        keys, addresses = [key for key, _ in pairs], [address for _, address in pairs]
        await self._db.execute(SQL.seen_from, keys, addresses, [seen[pair] for pair in pairs])
        await self._db.execute(SQL.forget_addresses, sorted(set(keys)), MOST_ADDRESSES)
