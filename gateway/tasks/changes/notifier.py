"""Tells the change feeds of all gateways which tasks changed, with few notifications.

`NOTIFY` takes a lock on the whole database at commit, so ids are gathered: the first one is sent at once, and those
that follow within a few milliseconds share a notification. A notification that is lost while PostgreSQL is away is not
repeated: feeds read all watched tasks when they are connected again, and sweep from time to time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database

log = logging.getLogger(__name__)

#: Payload of a notification: task ids, separated by commas.
CHANGES_CHANNEL = "taskgate_changes"

#: PostgreSQL refuses payloads of 8000 bytes and more.
_LARGEST_PAYLOAD = 7900


def pack(task_ids: Iterable[str], largest: int = _LARGEST_PAYLOAD) -> list[str]:
    """Join ids to as few comma-separated payloads as fit into `largest` bytes each.

    An id that cannot travel this way (a comma in it, longer than a payload, not text for PostgreSQL) is left out; the
    sweep of the feeds finds its changes.
    """
    payloads: list[str] = []
    batch: list[str] = []
    size = 0
    for task_id in task_ids:
        length = len(task_id.encode("utf-8", "surrogatepass"))
        if not 0 < length <= largest or "," in task_id or "\x00" in task_id or not _is_text(task_id):
            continue
        if batch and size + 1 + length > largest:
            payloads.append(",".join(batch))
            batch, size = [], 0
        size += length + (1 if batch else 0)
        batch.append(task_id)
    if batch:
        payloads.append(",".join(batch))
    return payloads


def unpack(payload: str) -> list[str]:
    """The ids of one notification."""
    return [task_id for task_id in payload.split(",") if task_id]


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class Notifier:
    """Gathers the ids of changed tasks and announces them. One per process; belongs to one event loop.

    `pause` (seconds) is how long an id may wait for others after a notification; while changes keep coming, it doubles
    up to `longest_pause`.
    """

    def __init__(
        self,
        database: Database,
        *,
        channel: str = CHANGES_CHANNEL,
        pause: float = 0.005,
        longest_pause: float = 0.02,
    ) -> None:
        self._db = database
        self._channel = channel
        self._pause = pause
        self._longest_pause = longest_pause
        self._pending: dict[str, None] = {}
        self._sender: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self._closed = False

    def changed(self, task_id: str) -> None:
        """A change of this task is committed. Does not wait; call it after the commit, in the event loop."""
        self._pending[task_id] = None
        if self._sender is None and not self._closed:
            self._sender = asyncio.get_running_loop().create_task(self._send(), name="notify-changes")

    async def flush(self) -> None:
        """Return when all changes so far were announced (or given up, because PostgreSQL is away)."""
        async with self._sending:
            await self._announce()

    async def close(self) -> None:
        """Announce what is left, and stop."""
        self._closed = True
        await self.flush()
        if (sender := self._sender) is not None:
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sender

    async def _send(self) -> None:
        pause = self._pause
        try:
            while self._pending:
                await self.flush()
                await asyncio.sleep(pause)
                pause = max(pause, min(2 * pause, self._longest_pause))
        finally:
            self._sender = None

    async def _announce(self) -> None:
        ids, self._pending = self._pending, {}
        payloads = pack(ids)
        if not payloads:
            return
        try:
            await self._db.execute(
                "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload", self._channel, payloads
            )
        except DatabaseUnavailable:
            log.warning("changes of %d tasks were not announced: PostgreSQL is away", len(ids))
