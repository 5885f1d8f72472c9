"""The same submission over HTTP and over gRPC, in turns."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import grpc
import httpx
from taskgate.v1 import NewTask, SubmitRequest

from deploy.local.env import read_env
from deploy.local.ports import free_port
from deploy.local.stack import EmbeddedStack
from tests.performance.submit import load
from tests.performance.table import paired_ratio, percentiles

CONNECTIONS = 16
REQUESTS = 4000
ROUNDS = 11
TENANT = "initech"
METHOD = "/taskgate.v1.TaskService/Submit"
PAYLOAD = {"content": "Ada Lovelace met Charles Babbage in London. " * 10, "name": "bench", "source_type": "text"}


def http_message(url: str, key: str, project_id: str) -> bytes:
    """The bytes of one POST, the same for every repetition, so that the client costs little."""
    content = json.dumps({"type": "bench_noop", "payload": PAYLOAD, "project_id": project_id}).encode()
    lines = [
        "POST /gateway/v1/tasks HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def grpc_message(project_id: str) -> bytes:
    """The bytes of one request, for the same reason."""
    task = NewTask(task_type="bench_noop", project_id=project_id)
    task.payload.update(PAYLOAD)
    return SubmitRequest(task=task).SerializeToString()


async def grpc_load(address: str, key: str, message: bytes, requests: int, workers: int) -> tuple[list[float], float]:
    """Latencies, and requests per second; like `submit.load`, each worker on a connection of its own."""
    taken: list[float] = []
    metadata = [("authorization", f"Bearer {key}")]

    async def work(number: int) -> None:
        # Channels with the same options would share a connection.
        async with grpc.aio.insecure_channel(address, options=[("taskgate.bench", number)]) as channel:
            submit = channel.unary_unary(METHOD)
            for _ in range(requests // workers):
                began = time.perf_counter()
                await submit(message, metadata=metadata)
                taken.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(work(number) for number in range(workers)))
    return taken, len(taken) / (time.perf_counter() - began)


@asynccontextmanager
async def bare_servicer(database_url: str) -> AsyncIterator[str]:
    """The address of a bare servicer, a process of its own."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("bare_servicer.py")),
        env={**os.environ, "TASKGATE_DATABASE_URL": database_url, "PORT": str(port)},
    )
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            async with asyncio.timeout(30):
                await channel.channel_ready()
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def settle(db: asyncpg.Connection) -> None:
    """Return when what was submitted before has been handed to its backend, which would cost the next one time."""
    while await db.fetchval("SELECT EXISTS (SELECT FROM taskgate.dispatch WHERE state IN ('waiting', 'starting'))"):
        await asyncio.sleep(0.05)


@asynccontextmanager
async def paused(variables: dict[str, str]) -> AsyncIterator[None]:
    """The tenant's tasks are accepted and do not start."""
    headers = {"Authorization": f"Bearer {variables['TASKGATE_ADMIN_KEY']}"}
    async with httpx.AsyncClient(base_url=variables["TASKGATE_URL"], headers=headers) as http:
        answer = await http.post("/gateway/v1/pauses", json={"tenant_id": TENANT, "why": "bench"})
        answer.raise_for_status()
        try:
            yield
        finally:
            (await http.delete(f"/gateway/v1/pauses/{answer.json()['pause_id']}")).raise_for_status()


async def run(stack: EmbeddedStack) -> dict[str, Any]:
    """Latency of one client alone; throughput of 16, with the tasks' runs and without; and the same of a bare servicer.

    A bare servicer runs nothing. What the gateway accepts is started and run meanwhile, on the same cores: the rounds
    `accepted` leave that out, by a pause of the tenant.
    """
    async with bare_servicer(stack.database_url) as bare:
        return await compare(stack, bare)


async def compare(stack: EmbeddedStack, bare: str) -> dict[str, Any]:
    """The faces in turns, and their ratios round by round."""
    variables = read_env(stack.env_file)
    url, address = variables["TASKGATE_URL"], variables["TASKGATE_GRPC_ADDRESS"]
    key, project_id = variables["TASKGATE_KEY_INITECH"], variables["TASKGATE_PROJECT_INITECH"]
    over_http, over_grpc = http_message(url, key, project_id), grpc_message(project_id)

    async def measure(face: str, requests: int, workers: int) -> tuple[list[float], float]:
        if face == "http":
            return await load(url, over_http, requests, workers)
        return await grpc_load(bare if face == "bare" else address, key, over_grpc, requests, workers)

    latencies: dict[str, list[float]] = {"http": [], "grpc": [], "bare": []}
    rates: dict[str, list[float]] = {"http": [], "grpc": [], "bare": []}
    accepted: dict[str, list[float]] = {"grpc": [], "bare": []}
    db = await asyncpg.connect(stack.database_url)
    try:
        for face in rates:
            await measure(face, 320, CONNECTIONS)
        for number in range(ROUNDS):  # in turns: A B B A A B …
            faces = list(rates) if number % 2 == 0 else list(rates)[::-1]
            for face in faces:
                await settle(db)
                taken, _ = await measure(face, 100, 1)
                latencies[face] += taken
            for face in faces:
                await settle(db)
                _, rate = await measure(face, REQUESTS, CONNECTIONS)
                rates[face].append(rate)
            for face in (face for face in faces if face in accepted):
                await settle(db)
                async with paused(variables):
                    _, rate = await measure(face, REQUESTS, CONNECTIONS)
                accepted[face].append(rate)
    finally:
        await db.close()
    figures: dict[str, Any] = {
        face: {**percentiles(latencies[face]), "per_s": round(sorted(rates[face])[ROUNDS // 2], 1)} for face in rates
    }
    for other in ("http", "bare"):
        figures[f"to_{other}"] = {
            "per_s": paired_ratio(rates["grpc"], rates[other]),
            "p95": round(figures["grpc"]["p95_ms"] / figures[other]["p95_ms"], 2),
        }
    figures["accepted"] = {face: round(sorted(values)[ROUNDS // 2], 1) for face, values in accepted.items()} | {
        "to_bare": paired_ratio(accepted["grpc"], accepted["bare"])
    }
    return figures
