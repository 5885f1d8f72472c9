"""(f) Two gateways behind HAProxy, three Temporal nodes: each is killed under load, and each gateway restarted.

Requests come at a fixed rate (`KILLS_RATE` a second, half of them of a tenant on Temporal, half of one on Redis),
whatever became of those before. One that fails is repeated with its `Idempotency-Key`, as a client does. The figures
of a kill: requests that failed at first, and the P99 of requests and of tasks (from acceptance to end) in the seconds
15 to 30 after it, beside the 30 s before. In the end: accepted tasks that never ended (`lost`), and handlers that ran
twice (`doubled`), by a line that each run writes.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from deploy.local.env import read_env
from deploy.local.gateway import GatewayPart
from deploy.local.haproxy import HaproxyPart
from deploy.local.part import PORT_SECONDS, Part
from deploy.local.ports import free_port, until_free
from deploy.local.stack import EmbeddedStack
from tests.performance.stack import ALL, measured_stack
from tests.performance.table import percentiles

RATE = float(os.environ.get("KILLS_RATE", "16"))
BEFORE, QUIET, AFTER = 30.0, 15.0, 30.0
PATIENCE = 60.0


@dataclass
class Request:
    """When it was to be sent, when it was answered, and how often it failed before."""

    due: float
    answered: float = 0.0
    failed: int = 0
    task_id: str = ""


@dataclass
class Load:
    """Requests at a fixed rate, at one address."""

    url: str
    keys: Sequence[str]
    requests: list[Request] = field(default_factory=list)
    stopping: bool = False
    running: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Raises what has ended the load too early."""
        if self.running is not None and self.running.done():
            self.running.result()

    async def run(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
        async with httpx.AsyncClient(base_url=self.url, timeout=30, limits=limits) as http, asyncio.TaskGroup() as sent:
            began = time.time()
            while not self.stopping:
                request = Request(began + len(self.requests) / RATE)
                await asyncio.sleep(max(0.0, request.due - time.time()))
                key = self.keys[len(self.requests) % len(self.keys)]
                self.requests.append(request)
                sent.create_task(self._send(http, request, key))

    async def _send(self, http: httpx.AsyncClient, request: Request, key: str) -> None:
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": str(uuid.uuid4())}
        body = {"type": "written_run", "payload": {}}
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    answer = await http.post("/gateway/v1/tasks", json=body, headers=headers)
                except httpx.TransportError:
                    answer = None
                if answer is not None and answer.status_code == httpx.codes.ACCEPTED:
                    request.answered, request.task_id = time.time(), answer.json()["task_id"]
                    return
                if answer is not None and answer.is_client_error:
                    raise RuntimeError(f"{answer.status_code}: {answer.text}")
                request.failed += 1
                await asyncio.sleep(0.1)


class Arena:
    """What is killed, the load, and the database that knows of its tasks."""

    def __init__(
        self, stack: EmbeddedStack, gateways: Sequence[Part], load: Load, database: asyncpg.Connection, runs: Path
    ) -> None:
        self.nodes: Sequence[Part] = stack.temporal_nodes
        self.gateways = gateways
        self.load = load
        self._db = database
        self._runs = runs

    async def during(self, change: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        """The figures of one change under load."""
        began = time.time()
        await asyncio.sleep(BEFORE)
        at = time.time()
        await change()
        await asyncio.sleep(max(0.0, at + AFTER - time.time()))
        # Those of the last seconds may not have ended yet.
        await self._ended(at + AFTER)
        windows = {"before": (began, at), "after": (at + QUIET, at + AFTER)}
        figures: dict[str, Any] = {
            "failed": sum(r.failed > 0 for r in self.load.requests if began <= r.due < at + AFTER)
        }
        for name, (first, last) in windows.items():
            those = [r for r in self.load.requests if first <= r.due < last]
            figures[f"requests_{name}_p99"] = percentiles([r.answered - r.due for r in those])["p99_ms"]
            figures[f"tasks_{name}_p99"] = percentiles(await self._durations(those))["p99_ms"]
        for what in ("requests", "tasks"):
            figures[f"{what}_ratio"] = round(figures[f"{what}_after_p99"] / figures[f"{what}_before_p99"], 2)
        return figures

    async def outcome(self) -> dict[str, int]:
        """Of all tasks, once the load has ended."""
        await self._ended(time.time())
        ids = [request.task_id for request in self.load.requests]
        ended = "SELECT count(*) FROM task_logs WHERE id = ANY ($1) AND status = 'COMPLETED'"
        completed = await self._db.fetchval(ended, ids)
        runs = Counter(line.split()[1] for line in self._runs.read_text().splitlines())
        return {
            "accepted": len(ids),
            "lost": len(ids) - completed,
            "doubled": sum(count > 1 for count in runs.values()),
            "never_ran": sum(task not in runs for task in ids),
        }

    async def _ended(self, due: float) -> None:
        """Return when what was due before is over, or nothing more is to be expected."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self.load.check()
                those = [request for request in self.load.requests if request.due < due]
                if all(request.answered for request in those):
                    ids = [request.task_id for request in those]
                    query = "SELECT count(*) FROM task_logs WHERE id = ANY ($1) AND completed_at IS NULL"
                    if not await self._db.fetchval(query, ids):
                        return
                await asyncio.sleep(0.1)

    async def _durations(self, requests: Sequence[Request]) -> list[float]:
        took = (
            "SELECT extract(epoch FROM completed_at - created_at)::float8 AS seconds FROM task_logs WHERE id = ANY ($1)"
        )
        rows = await self._db.fetch(took, [request.task_id for request in requests])
        return [row["seconds"] for row in rows]


@asynccontextmanager
async def _arena() -> AsyncIterator[Arena]:
    os.environ["TASKGATE_LEAVE_SECONDS"] = "2"
    async with measured_stack(ALL, temporal_nodes=3, handlers="contracts.written_runs") as stack:
        first, report = stack.part("gateway"), lambda _: None
        second = GatewayPart(
            stack.directory,
            free_port(),
            report,
            grpc_port=free_port(),
            environment=stack.environment,
            own_database=False,
            name="gateway-2",
        )
        await second.start()
        addresses = {f"GATEWAY_{n}": f"127.0.0.1:{part.port}" for n, part in enumerate((first, second), 1)}
        proxy = HaproxyPart(stack.directory, report, addresses, name="gateways")
        await proxy.start()
        variables = read_env(stack.env_file)
        load = Load(proxy.gateway_url, [variables["TASKGATE_KEY_ACME"], variables["TASKGATE_KEY_INITECH"]])
        database = await asyncpg.connect(stack.database_url)
        runs = Path(os.environ["TASKGATE_TEST_RUNS"])
        running = load.running = asyncio.create_task(load.run())
        try:
            yield Arena(stack, [first, second], load, database, runs)
        finally:
            running.cancel()
            await asyncio.wait([running])
            await database.close()


async def _killed(part: Part) -> None:
    await part.process.kill()


async def _restarted(part: Part) -> None:
    await part.stop()
    await part.start()


async def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="taskgate-kills-") as directory:
        os.environ |= {"TASKGATE_TEST_RUNS": f"{directory}/runs", "TASKGATE_TEST_SIDE": "bench"}
        figures: dict[str, Any] = {}
        async with _arena() as arena:
            for gateway in arena.gateways:
                figures[f"restart of {gateway.name}"] = await arena.during(lambda gateway=gateway: _restarted(gateway))
            for part in (*arena.gateways, *arena.nodes):
                figures[f"kill of {part.name}"] = await arena.during(lambda part=part: _killed(part))
                await until_free(part.port, PORT_SECONDS)
                await part.start()
            arena.load.stopping = True
            figures["outcome"] = await arena.outcome()
    return {"kills": figures}
