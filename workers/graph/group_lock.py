"""One task at a time per group, over all workers (contract §5: `lock:queue:group:<group_id>`).

graphiti compares new entities with those in the graph and then writes: two episodes of one group that are added at
the same time each write their own Alice. On the Redis queue the group's lock prevents that; Temporal runs tasks of a
group side by side, and while a tenant moves both backends work on one group. So the graph itself is the place to wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from typing import Any

from neo4j import AsyncDriver
from neo4j.exceptions import DriverError, Neo4jError, TransientError
from tenacity import retry, retry_if_exception_type, wait_random

from workers.graph.errors import GroupBusy

log = logging.getLogger(__name__)

#: Of one group so many tasks of a process hold its lock or wait for it, of those that do not wait for long: one runs,
#: and one is there when it ends. Each further one would only take a slot.
_MOST_IN_LINE = 2
LOCK_CONSTRAINT = (
    "CREATE CONSTRAINT taskgate_group_lock IF NOT EXISTS FOR (g:TaskgateGroupLock) REQUIRE g.group_id IS UNIQUE"
)
_LOCK = "MERGE (g:TaskgateGroupLock {group_id: $group_id}) RETURN g"

_held: ContextVar[frozenset[tuple[int, str]]] = ContextVar("held group locks", default=frozenset())


class GroupLocks:
    """The locks of one driver, whose connections nobody else may need inside of them.

    A lock is an open transaction that has merged a node under a uniqueness constraint and is rolled back at the end:
    others that merge the same node wait for it in the server, nothing is ever written, and a worker that dies loses
    the lock with its connection. Within a process tasks queue up first, so a group costs one connection per process.
    """

    def __init__(self, driver: AsyncDriver, database: str) -> None:
        self._driver = driver
        self._database = database
        self._local: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}

    @asynccontextmanager
    async def hold(self, group_id: str, seconds: float | None = None) -> AsyncIterator[None]:
        """Wait for the group's turn and keep it until the block ends. Inside the block, `hold` again is free.

        Raises `GroupBusy` if the turn does not come within so many `seconds` (None: it is waited for).
        """
        key = (id(self), group_id)
        if key in _held.get():
            yield
            return
        if seconds is not None and self._waiting.get(group_id, 0) >= _MOST_IN_LINE:
            raise GroupBusy
        lock = self._local.setdefault(group_id, asyncio.Lock())
        self._waiting[group_id] = self._waiting.get(group_id, 0) + 1
        try:
            async with AsyncExitStack() as turn:
                await self._take(turn, lock, group_id, seconds)
                token = _held.set(_held.get() | {key})
                try:
                    yield
                finally:
                    _held.reset(token)
        finally:
            self._waiting[group_id] -= 1
            if not self._waiting[group_id]:
                del self._waiting[group_id], self._local[group_id]

    async def _take(self, turn: AsyncExitStack, lock: asyncio.Lock, group_id: str, seconds: float | None) -> None:
        patience = asyncio.timeout(seconds)
        try:
            async with patience:
                await turn.enter_async_context(lock)
                turn.push_async_callback(self._release, *await self._acquire(group_id))
        except TimeoutError:
            if patience.expired():
                raise GroupBusy from None
            raise

    @retry(retry=retry_if_exception_type(TransientError), wait=wait_random(0.05, 0.25))
    async def _acquire(self, group_id: str) -> tuple[Any, Any]:
        session = self._driver.session(database=self._database)
        try:
            # 0: no time limit but the task's own.
            transaction = await session.begin_transaction(timeout=0)
            result = await transaction.run(_LOCK, group_id=group_id)
            await result.consume()
            return transaction, session
        except TransientError as error:
            await session.close()
            log.debug("group %s is not free yet: %s", group_id, error.code)
            raise
        except BaseException:
            session.cancel()
            await session.close()
            raise

    async def _release(self, transaction: Any, session: Any) -> None:
        try:
            await transaction.rollback()
        except (Neo4jError, DriverError, OSError) as error:
            # The connection went away, and the lock with it.
            log.warning("a group's lock was lost before its task ended: %s", error)
        except asyncio.CancelledError:
            session.cancel()
            raise
        finally:
            await session.close()
