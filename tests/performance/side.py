"""One of several stacks that stand side by side, and are compared in rounds of tasks."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection

import asyncpg
import httpx

from deploy.local.stack import EmbeddedStack
from tests.performance.processes import cpu_of, tree

AT_ONCE = 16
UNFINISHED = "SELECT count(*) FROM taskgate.dispatch WHERE phase IN ('waiting', 'open')"


class Side:
    """`ours`: those parts of the stack that are this project's. A round has so many `tasks`, each with 2 kB."""

    def __init__(
        self,
        stack: EmbeddedStack,
        http: httpx.AsyncClient,
        database: asyncpg.Connection,
        ours: Collection[str],
        tasks: int,
    ) -> None:
        self._stack, self._http, self._db = stack, http, database
        self._ours, self._tasks = ours, tasks

    async def round(self) -> dict[str, float]:
        """Milliseconds of processor time a task: of our own processes, and of all with the servers."""
        before = await self._used()
        room = asyncio.Semaphore(AT_ONCE)

        async def submit() -> None:
            async with room:
                body = {"type": "bench_noop", "payload": {"content": secrets.token_urlsafe(1536)}}
                (await self._http.post("/gateway/v1/tasks", json=body)).raise_for_status()

        await asyncio.gather(*(submit() for _ in range(self._tasks)))
        async with asyncio.timeout(120):
            while await self._db.fetchval(UNFINISHED):
                await asyncio.sleep(0.05)
        after = await self._used()
        return {name: (after[name] - before[name]) * 1000 / self._tasks for name in after}

    async def _used(self) -> dict[str, float]:
        parts = {status.name: cpu_of(tree(status.pid)) for status in await self._stack.status() if status.pid}
        return {"ours": sum(parts[name] for name in self._ours), "all": sum(parts.values())}
