"""Three Temporal nodes behind one address and two gateways behind another, struck one by one under a steady load.

`python contract-tests/chaos/cluster.py [temporal-0 … restart-0 … gateway-0 …]`: which node or gateway is killed
(SIGKILL), and which gateway is restarted gracefully; all of them when none is named. RATE tasks a second are submitted
over HTTP and gRPC in turns. The last line is one JSON object; the exit code is 1 unless every task ran exactly
once and, at a restart, no request failed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from taskgate.v1 import NewTask, SubmitRequest, TaskServiceStub

from clients import Clients
from deploy.local.haproxy import HaproxyPart
from deploy.local.scratch import scratch
from deploy.local.stack import EmbeddedStack
from evidence import settle
from gateway.routing.stages import Stage
from links import SERVERS, Links
from moves import Moves
from world import TENANTS, World

ALL = ("temporal-0", "temporal-1", "temporal-2", "restart-0", "restart-1", "gateway-0", "gateway-1")
#: Tasks a second.
RATE = float(os.environ.get("RATE") or 6)
#: What is compared: so long before a kill, and from then to then after it (seconds).
BEFORE, AFTER = 15.0, (15.0, 30.0)
#: Longest patience of a client with one request, and of a stream with its task (seconds).
PATIENCE = 60.0
#: A task that is followed runs longer than a restart takes (milliseconds).
FOLLOWED_MS, FOLLOWERS = 12_000, 6
LEAVE_SECONDS = "3"


class OneAddress(Links):
    """No faults between the parts: only the proxy before Temporal's nodes."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._directory = directory
        self._address = ""

    async def open(self, stack: EmbeddedStack) -> None:
        nodes = {f"TEMPORAL_{number}": node.url for number, node in enumerate(stack.temporal_nodes, 1)}
        temporal = HaproxyPart(self._directory, lambda _: None, nodes)
        await temporal.start()
        self._address = temporal.url

    def environment(self, side: str) -> dict[str, str]:
        return {SERVERS["temporal"]: self._address, "TASKGATE_LEAVE_SECONDS": LEAVE_SECONDS}


@dataclass
class Load:
    """What was sent, and what came back. Times are on the monotonic clock."""

    world: World
    proxy: HaproxyPart
    sent: dict[str, float] = field(default_factory=dict)
    """When each accepted task was sent first."""
    failed: list[str] = field(default_factory=list)
    """Every request that was not answered as it should be, the repetitions of one request apart."""
    resumed: int = 0
    """How often a stream ended before its task, and was opened again."""
    requests: int = 0

    async def run(self) -> None:
        """Until cancelled; what was begun is finished first."""
        begun: set[asyncio.Task[Any]] = set()
        number, start = 0, time.monotonic()
        pauses = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
        async with (
            httpx.AsyncClient(base_url=self.proxy.gateway_url, timeout=PATIENCE) as http,
            grpc.aio.insecure_channel(self.proxy.grpc_address, options=pauses) as channel,
        ):
            stub = TaskServiceStub(channel)
            try:
                while True:
                    begun.add(asyncio.create_task(self._submit(http, stub if number % 2 else None, number)))
                    number += 1
                    await asyncio.sleep(max(0.0, start + number / RATE - time.monotonic()))
            finally:
                await asyncio.gather(*begun)

    async def _submit(self, http: httpx.AsyncClient, stub: TaskServiceStub | None, number: int, ms: int = 10) -> str:
        """Repeated under one key until it is answered; each answer that is none counts as failed."""
        tenant = TENANTS[number % len(TENANTS)]
        key, sent = uuid.uuid4().hex, time.monotonic()
        project = self.world.projects[tenant][number % 4]
        while time.monotonic() < sent + PATIENCE:
            self.requests += 1
            try:
                if stub is None:
                    task_id = await self._over_http(http, tenant, project, key, ms)
                else:
                    task_id = await self._over_grpc(stub, tenant, project, key, ms)
            except (httpx.HTTPError, grpc.aio.AioRpcError) as error:
                self.failed.append(f"{'http' if stub is None else 'grpc'}: {error!r}"[:300])
                await asyncio.sleep(0.1)
            else:
                self.sent[task_id] = sent
                return task_id
        raise TimeoutError(f"a submit was not answered within {PATIENCE} s: {self.failed[-1]}")

    async def _over_http(self, http: httpx.AsyncClient, tenant: str, project: str, key: str, ms: int) -> str:
        answer = await http.post(
            "/gateway/v1/tasks",
            json={"type": "chaos_probe", "payload": {"ms": ms, "fail": 0}, "project_id": project},
            headers={"Authorization": self.world.authorization(tenant), "Idempotency-Key": key},
        )
        answer.raise_for_status()
        return str(answer.json()["task_id"])

    async def _over_grpc(self, stub: TaskServiceStub, tenant: str, project: str, key: str, ms: int) -> str:
        task = NewTask(task_type="chaos_probe", project_id=project)
        task.payload.update({"ms": ms, "fail": 0})
        metadata = [("authorization", self.world.authorization(tenant))]
        answer = await stub.Submit(SubmitRequest(task=task, idempotency_key=key), metadata=metadata, timeout=PATIENCE)
        return str(answer.task.task_id)

    async def follow(self, number: int) -> None:
        """Follow a long task over SSE to its end, as `EventSource` does: a stream that ends is opened again."""
        async with httpx.AsyncClient(base_url=self.proxy.gateway_url, timeout=PATIENCE) as http:
            path = f"/api/v1/tasks/{await self._submit(http, None, number, FOLLOWED_MS)}/stream"
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                try:
                    async with http.stream("GET", path) as stream:
                        stream.raise_for_status()
                        async for line in stream.aiter_lines():
                            if line in ("event: completed", "event: failed", "event: error"):
                                return
                except httpx.HTTPStatusError as error:
                    self.failed.append(f"stream: {error!r}"[:300])
                except httpx.TransportError:
                    pass  # a broken stream resumes, too
                self.resumed += 1
                await asyncio.sleep(0.2)
        raise TimeoutError(f"a stream did not reach the end of its task within {PATIENCE} s")


class Cluster:
    """The world, and what is done to it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.before: dict[str, tuple[float, float]] = {}
        self.after: dict[str, tuple[float, float]] = {}
        self.failed: dict[str, list[str]] = {}

    async def strike(self, name: str, load: Load) -> None:
        """One of `ALL`; returns when everything is as before."""
        kind, _, which = name.partition("-")
        number, already = int(which), len(load.failed)
        if kind == "restart":
            await self._restart(number, load)
        else:
            await asyncio.sleep(BEFORE)
            struck = time.monotonic()
            self.before[name] = (struck - BEFORE, struck)
            self.after[name] = (struck + AFTER[0], struck + AFTER[1])
            if kind == "temporal":
                await self._kill_node(number)
            else:
                await self._world.gateways[number].kill()
                await asyncio.sleep(AFTER[1])
                await self._world.gateways[number].start()
                await self._world.gateway_is_back(number)
        self.failed[name] = load.failed[already:]

    async def _restart(self, number: int, load: Load) -> None:
        """With streams open at both gateways."""
        async with asyncio.TaskGroup() as group:
            for one in range(FOLLOWERS):
                group.create_task(load.follow(one))
            await asyncio.sleep(2)
            await self._world.gateways[number].end()
            await self._world.gateways[number].start()
            await self._world.gateway_is_back(number)
            # The proxy has seen it, too.
            await asyncio.sleep(2)

    async def _kill_node(self, number: int) -> None:
        node = self._world.stack.temporal_nodes[number]
        await node.process.kill()
        await asyncio.sleep(AFTER[1])
        await node.start()


def p99(load: Load, ended: dict[str, float], window: tuple[float, float]) -> float:
    """Of tasks that were sent in this time, from there to their end (seconds)."""
    took = sorted(ended[task] - sent for task, sent in load.sent.items() if window[0] <= sent < window[1])
    return took[int(0.99 * (len(took) - 1))]


async def main(strikes: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="taskgate-cluster-", dir=scratch()) as directory:
        world = World(Path(directory), fenced=True, temporal_servers=3)
        world.links = OneAddress(Path(directory))
        try:
            await world.start()
            gateways = {}
            for number, (url, address) in enumerate(zip(world.gateway_urls, world.grpc_addresses, strict=True), 1):
                gateways |= {f"GATEWAY_{number}": url.removeprefix("http://"), f"GATEWAY_{number}_GRPC": address}
            proxy = HaproxyPart(Path(directory), lambda _: None, gateways, name="gateway-proxy")
            await proxy.start()
            moves = Moves(world, clients := Clients(world, random.Random(1)))
            await moves.set_stage(None, Stage.COMPLETE)
            load, cluster = Load(world, proxy), Cluster(world)
            loading = asyncio.create_task(load.run())
            for strike in strikes:
                await asyncio.wait_for(cluster.strike(strike, load), 240)
                print(f"{strike}: {len(load.sent)} tasks so far", flush=True)
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
            await settle(world, RATE)
            async with world.rows.connected() as database:
                rows = await database.fetch("SELECT id, status FROM task_logs")
            lines = [json.loads(line) for line in world.effects.read_text().splitlines()]
            await asyncio.gather(clients.close(), moves.close())
        finally:
            await world.stop()
    starts = Counter(line["task"] for line in lines if line["event"] == "start")
    ended = {line["task"]: line["at"] for line in lines if line["event"] == "end"}
    completed = {row["id"] for row in rows if row["status"] == "COMPLETED"}
    lost = [task for task in load.sent if task not in completed or task not in ended]
    doubled = [task for task, times in starts.items() if times > 1] + [
        row["id"] for row in rows if row["id"] not in load.sent
    ]
    summary = {
        "tasks": len(load.sent),
        "requests": load.requests,
        "lost": len(lost),
        "doubled": len(doubled),
        "failed": {name: len(found) for name, found in cluster.failed.items()},
        "resumed": load.resumed,
        "p99_before": {name: round(p99(load, ended, window), 3) for name, window in cluster.before.items()},
        "p99_after": {name: round(p99(load, ended, window), 3) for name, window in cluster.after.items()},
    }
    for name, found in cluster.failed.items():
        print(name, *found[:3], sep="\n  ")
    print(json.dumps(summary))
    failed_at_restart = any(found for name, found in cluster.failed.items() if name.startswith("restart"))
    return 1 if lost or doubled or failed_at_restart else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:] or list(ALL))))
