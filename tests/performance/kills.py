"""(f) Two gateways behind HAProxy, three Temporal nodes: under load each is killed, each gateway restarted.

Requests come at a fixed rate (`KILLS_RATE` a second, half of a tenant on Temporal, half of one on Redis). Around a
restart, streams follow tasks that begin after it. Figures of a restart: requests that failed, streams that broke off,
and those that did not come to the end of their task. Figures of a kill: requests that failed at first, and the P99 of
requests and of tasks (from acceptance to end) in the 15 seconds from it (`first`) and in the 15 after those, these
against the lower of two P99s: that of the quiet seconds `before` all changes, and that of those `between` them.
In the end: accepted tasks that never ended (`lost`), and handlers that ran twice (`doubled`), by a line that each run
writes. `KILLS_ONLY=gateway` makes only the changes whose name contains that.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import mean
from typing import Any

import asyncpg
import psutil

from deploy.local.env import read_env
from deploy.local.gateway import GatewayPart
from deploy.local.haproxy import HaproxyPart
from deploy.local.part import PORT_SECONDS, Part
from deploy.local.ports import free_port, until_free
from deploy.local.stack import EmbeddedStack
from tests.performance.stack import ALL, measured_stack
from tests.performance.steady_load import Load, Request
from tests.performance.table import percentiles

RATE = float(os.environ.get("KILLS_RATE", "8"))
STREAMS = 20
#: Seconds: before the first change and before each further one, of a kill until it is measured and until that ends.
QUIET, SETTLED, MEASURED_FROM, MEASURED_TO = 20.0, 6.0, 15.0, 30.0
#: Seconds after a process is up again, in which it warms up.
WARM = 8.0
#: Seconds until the tasks of the streams are due, and until the streams must have ended after the change.
STREAMED_AFTER, STREAMED_BY = 12.0, 20.0
PATIENCE = 60.0


class Arena:
    """What is killed, the load, and the database that knows of its tasks."""

    def __init__(
        self, nodes: Sequence[Part], gateways: Sequence[Part], load: Load, database: asyncpg.Connection, runs: Path
    ) -> None:
        self.nodes = nodes
        self.gateways = gateways
        self._load = load
        self._db = database
        self._runs = runs
        self._quiet: list[tuple[float, float]] = []
        self._idle: list[float] = []

    async def quiet(self, seconds: float) -> None:
        """Nothing is changed for so long, which counts as the time before the changes."""
        began = time.time()
        psutil.cpu_percent()
        await asyncio.sleep(seconds)
        self._idle.append(100 - psutil.cpu_percent())
        self._quiet.append((began, time.time()))
        self._load.check()

    async def restart(self, part: Part) -> dict[str, Any]:
        """What clients saw of an orderly end and a new start."""
        began = time.time()
        streams = asyncio.create_task(self._load.follow(STREAMS, STREAMED_AFTER, began + STREAMED_AFTER + STREAMED_BY))
        await self._streaming()
        await part.stop()
        stopped = time.time()
        await part.start()
        up = time.time()
        await asyncio.sleep(WARM)
        followed = await streams
        return {
            **self._failed(began, time.time()),
            "stopped_s": round(stopped - began, 1),
            "up_s": round(up - stopped, 1),
            "streams": len(followed),
            "streams_broke": sum(stream.broke > 0 for stream in followed),
            "streams_lost": sum(not stream.ended for stream in followed),
        }

    async def kill(self, part: Part) -> tuple[float, dict[str, Any]]:
        """When it was, and what clients saw until its figures are complete; the part is up again then."""
        at = time.time()
        await part.process.kill()
        await asyncio.sleep(max(0.0, at + MEASURED_TO - time.time()))
        failed = self._failed(at, time.time())
        await until_free(part.port, PORT_SECONDS)
        await part.start()
        await asyncio.sleep(WARM)
        return at, failed

    async def p99s(self, windows: Sequence[tuple[float, float]]) -> dict[str, float]:
        """Of requests and of tasks; waits until the tasks of these seconds have ended."""
        those = [request for window in windows for request in self._load.between(*window)]
        await self._ended(those)
        took = (
            "SELECT extract(epoch FROM completed_at - created_at)::float8 AS seconds FROM task_logs WHERE id = ANY ($1)"
        )
        rows = await self._db.fetch(took, [request.task_id for request in those])
        return {
            "requests_p99": percentiles([request.answered - request.due for request in those])["p99_ms"],
            "tasks_p99": percentiles([row["seconds"] for row in rows])["p99_ms"],
            "n": len(those),
        }

    async def undisturbed(self) -> dict[str, dict[str, float]]:
        """The figures of the quiet seconds before and between the changes, with the share of the processors left."""
        parts = {"before": slice(0, 1), "between": slice(1, None)}
        return {
            name: {**await self.p99s(self._quiet[part]), "idle_percent": round(mean(self._idle[part]), 1)}
            for name, part in parts.items()
            if self._quiet[part]
        }

    async def after_kill(self, at: float, undisturbed: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        """The figures of the time from a kill on."""
        first = await self.p99s([(at, at + MEASURED_FROM)])
        after = await self.p99s([(at + MEASURED_FROM, at + MEASURED_TO)])
        figures = {f"first_{name}": figure for name, figure in first.items() if name != "n"} | after
        for name in ("requests_p99", "tasks_p99"):
            lowest = min(quiet[name] for quiet in undisturbed.values())
            figures[f"{name}_ratio"] = round(after[name] / lowest, 2)
        return figures

    async def outcome(self) -> dict[str, int]:
        """Of all tasks; the load ends with it."""
        await self._load.stop()
        those = [*self._load.requests, *self._load.followed]
        await self._ended(those)
        ids = [request.task_id for request in those]
        ended = "SELECT count(*) FROM task_logs WHERE id = ANY ($1) AND status = 'COMPLETED'"
        runs = Counter(line.split()[1] for line in self._runs.read_text().splitlines())
        return {
            "accepted": len(ids),
            "lost": len(ids) - await self._db.fetchval(ended, ids),
            "doubled": sum(count > 1 for count in runs.values()),
            "never_ran": sum(task not in runs for task in ids),
        }

    def _failed(self, first: float, last: float) -> dict[str, Any]:
        those = self._load.between(first, last)
        failed = [request for request in those if request.failures]
        told: dict[str, Any] = {"requests": len(those), "failed": len(failed)}
        return told | ({"first_failure": failed[0].failures[0]} if failed else {})

    async def _streaming(self) -> None:
        """Return when every stream has been accepted, and had a moment to open."""
        async with asyncio.timeout(PATIENCE):
            while not all(r.answered for r in self._load.followed) or len(self._load.followed) % STREAMS:
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)

    async def _ended(self, those: Sequence[Request]) -> None:
        """Return when these are over. Raises `RuntimeError` that says how the others stand."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not all(request.answered for request in those) or await self._open(those):
                    self._load.check()
                    await asyncio.sleep(0.2)
        except TimeoutError:
            unanswered = [request for request in those if not request.answered]
            lines = [str(dict(row)) for row in await self._open(those)]
            raise RuntimeError("\n".join(["these did not end:", *map(str, unanswered[:20]), *lines[:20]])) from None

    async def _open(self, those: Sequence[Request]) -> list[asyncpg.Record]:
        query = (
            "SELECT d.*, t.status, now() AS now FROM task_logs t LEFT JOIN taskgate.dispatch d ON d.task_id = t.id"
            " WHERE t.id = ANY ($1) AND t.completed_at IS NULL"
        )
        return list(await self._db.fetch(query, [request.task_id for request in those]))


@asynccontextmanager
async def _arena(environment: Mapping[str, str], runs: Path) -> AsyncIterator[Arena]:
    os.environ |= environment
    async with measured_stack(ALL, temporal_nodes=3, handlers="contracts.written_runs") as stack:
        gateways = [stack.part("gateway"), await _second_gateway(stack)]
        addresses = {f"GATEWAY_{n}": f"127.0.0.1:{part.port}" for n, part in enumerate(gateways, 1)}
        proxy = HaproxyPart(stack.directory, print, addresses, name="gateways")
        await proxy.start()
        variables = read_env(stack.env_file)
        keys = [variables["TASKGATE_KEY_ACME"], variables["TASKGATE_KEY_INITECH"]]
        database = await asyncpg.connect(stack.database_url)
        try:
            async with Load(proxy.gateway_url, keys, RATE, "written_run") as load:
                yield Arena(stack.temporal_nodes, gateways, load, database, runs)
        finally:
            await database.close()
            for name in environment:
                del os.environ[name]


async def _second_gateway(stack: EmbeddedStack) -> Part:
    part = GatewayPart(
        stack.directory,
        free_port(),
        print,
        grpc_port=free_port(),
        environment=stack.environment,
        own_database=False,
        name="gateway-2",
    )
    await part.start()
    return part


async def run() -> dict[str, Any]:
    only = os.environ.get("KILLS_ONLY", "")
    with tempfile.TemporaryDirectory(prefix="taskgate-kills-") as directory:
        runs = Path(directory, "runs")
        environment = {"TASKGATE_TEST_RUNS": str(runs), "TASKGATE_TEST_SIDE": "bench", "TASKGATE_LEAVE_SECONDS": "2"}
        figures: dict[str, Any] = {}
        async with _arena(environment, runs) as arena:
            await asyncio.sleep(WARM)
            await arena.quiet(QUIET)
            for part in arena.gateways:
                if only in (name := f"restart of {part.name}"):
                    print(f"  {name}", flush=True)
                    figures[name] = await arena.restart(part)
            kills: dict[str, float] = {}
            for part in (*arena.gateways, *arena.nodes):
                if only in (name := f"kill of {part.name}"):
                    print(f"  {name}", flush=True)
                    await arena.quiet(SETTLED)
                    kills[name], figures[name] = await arena.kill(part)
            figures |= (undisturbed := await arena.undisturbed())
            for name, at in kills.items():
                figures[name] |= await arena.after_kill(at, undisturbed)
            figures["outcome"] = await arena.outcome()
    return {"kills": figures}
