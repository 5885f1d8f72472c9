"""(e) What encryption costs: processor time a task, with keys for payloads and TLS to Temporal, and without.

Two stacks of the same kind stand side by side, one with both. Rounds of tasks go to one and to the other in turn, the
first of each pair in turn, too; what the other's processes use meanwhile does not count. `ENCRYPTION_PAIRS` pairs
of rounds of `ENCRYPTION_TASKS` tasks with a payload of 2 kB, on Temporal.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from contracts.authority import Authority
from deploy.local.stack import EmbeddedStack
from deploy.local.temporal_config import FrontendTls
from tests.performance.processes import cpu_of, tree
from tests.performance.stack import client, measured_stack
from tests.performance.table import paired_ratio

TASKS = int(os.environ.get("ENCRYPTION_TASKS", "200"))
PAIRS = int(os.environ.get("ENCRYPTION_PAIRS", "10"))
PARTS = ("postgres", "redis", "temporal", "gateway", "worker-temporal")
OURS = ("gateway", "worker-temporal")
AT_ONCE = 16
KEYS = "TASKGATE_TEMPORAL_CODEC_KEYS"
UNFINISHED = "SELECT count(*) FROM taskgate.dispatch WHERE phase IN ('waiting', 'open')"


class Side:
    """One stack, and what its processes have used."""

    def __init__(self, stack: EmbeddedStack, http: httpx.AsyncClient, database: asyncpg.Connection) -> None:
        self._stack = stack
        self._http = http
        self._db = database

    async def round(self) -> dict[str, float]:
        """Milliseconds of processor time a task: of our own processes, and of all with the servers."""
        before = await self._used()
        room = asyncio.Semaphore(AT_ONCE)

        async def submit() -> None:
            async with room:
                body = {"type": "bench_noop", "payload": {"content": secrets.token_urlsafe(1536)}}
                (await self._http.post("/gateway/v1/tasks", json=body)).raise_for_status()

        await asyncio.gather(*(submit() for _ in range(TASKS)))
        async with asyncio.timeout(120):
            while await self._db.fetchval(UNFINISHED):
                await asyncio.sleep(0.05)
        after = await self._used()
        return {name: (after[name] - before[name]) * 1000 / TASKS for name in after}

    async def _used(self) -> dict[str, float]:
        parts = {status.name: cpu_of(tree(status.pid)) for status in await self._stack.status() if status.pid}
        return {"ours": sum(parts[name] for name in OURS), "all": sum(parts.values())}


@asynccontextmanager
async def _side(keys: str | None, tls: FrontendTls | None) -> AsyncIterator[Side]:
    if keys is not None:
        os.environ[KEYS] = keys
    try:
        async with measured_stack(PARTS, temporal_tls=tls) as stack, client(stack, "acme") as http:
            os.environ.pop(KEYS, None)
            database = await asyncpg.connect(stack.database_url)
            yield Side(stack, http, database)
            await database.close()
    finally:
        os.environ.pop(KEYS, None)


async def run() -> dict[str, Any]:
    keys = f"bench {base64.b64encode(secrets.token_bytes(32)).decode()}"
    async with AsyncExitStack() as both:
        directory = Path(both.enter_context(tempfile.TemporaryDirectory(prefix="taskgate-encryption-")))
        authority = Authority(directory)
        tls = FrontendTls(authority.file, *authority.issue("temporal"))
        clear = await both.enter_async_context(_side(None, None))
        encrypted = await both.enter_async_context(_side(keys, tls))
        for side in (clear, encrypted):
            await side.round()
        rounds: list[tuple[dict[str, float], dict[str, float]]] = []
        for number in range(PAIRS):
            first, second = (clear, encrypted) if number % 2 else (encrypted, clear)
            one, other = await first.round(), await second.round()
            rounds.append((one, other) if first is clear else (other, one))
    figures: dict[str, Any] = {}
    for name in ("ours", "all"):
        without, with_keys = [pair[0][name] for pair in rounds], [pair[1][name] for pair in rounds]
        figures[name] = {
            "clear_ms": round(sorted(without)[len(without) // 2], 3),
            "encrypted_ms": round(sorted(with_keys)[len(with_keys) // 2], 3),
            "ratio": paired_ratio(with_keys, without),
        }
    return {"encryption": figures}
