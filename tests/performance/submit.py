"""(b) Submit latency and throughput, against a bare FastAPI endpoint that inserts the same row."""

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

import httpx

from deploy.local.env import read_env
from deploy.local.ports import free_port
from tests.performance.stack import measured_stack
from tests.performance.table import paired_ratio, percentiles

CONNECTIONS = 16
REQUESTS = 1500
ROUNDS = 11
BODY = {"content": "Ada Lovelace met Charles Babbage in London. " * 10, "name": "bench", "source_type": "text"}


def request(url: str, headers: dict[str, str], body: dict[str, Any]) -> bytes:
    """The bytes of one POST; the same for every repetition, so that the client costs little."""
    content = json.dumps(body).encode()
    lines = [
        "POST /api/v1/episodes/?background=true HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


async def connection(url: str, message: bytes, count: int, taken: list[float]) -> None:
    """Send `count` requests over one connection, one after the other."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    for _ in range(count):
        began = time.perf_counter()
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 202"):
            raise RuntimeError(f"unexpected answer: {head.splitlines()[0]!r}")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        taken.append(time.perf_counter() - began)
    writer.close()


async def load(url: str, message: bytes, requests: int, connections: int) -> tuple[list[float], float]:
    """Latencies, and requests per second."""
    taken: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(connection(url, message, requests // connections, taken) for _ in range(connections)))
    return taken, len(taken) / (time.perf_counter() - began)


@asynccontextmanager
async def bare_endpoint(database_url: str) -> AsyncIterator[str]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("bare_app.py")),
        env={**os.environ, "TASKGATE_DATABASE_URL": database_url, "PORT": str(port)},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient() as http:
            while True:
                try:
                    await http.get(f"{url}/health")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        yield url
    finally:
        process.terminate()
        await process.wait()


async def run() -> dict[str, Any]:
    latencies: dict[str, list[float]] = {"gateway": [], "bare": []}
    rates: dict[str, list[float]] = {"gateway": [], "bare": []}
    async with (
        measured_stack(("postgres", "redis", "temporal", "gateway")) as stack,
        bare_endpoint(stack.database_url) as bare,
    ):
        variables = read_env(stack.env_file)
        url = variables["TASKGATE_URL"]
        headers = {"Authorization": f"Bearer {variables['TASKGATE_KEY_INITECH']}"}
        body = BODY | {"project_id": variables["TASKGATE_PROJECT_INITECH"]}
        targets = {"gateway": (url, request(url, headers, body)), "bare": (bare, request(bare, {}, body))}
        for name in targets:
            await load(*targets[name], 200, CONNECTIONS)
        for _ in range(ROUNDS):  # in turns: A B A B …
            for name, target in targets.items():
                taken, _ = await load(*target, 100, 1)
                latencies[name] += taken
                _, rate = await load(*target, REQUESTS, CONNECTIONS)
                rates[name].append(rate)
    figures: dict[str, Any] = {
        name: {**percentiles(latencies[name]), "per_s": round(sorted(rates[name])[ROUNDS // 2], 1)}
        for name in latencies
    }
    figures["ratio"] = {"per_s": paired_ratio(rates["gateway"], rates["bare"])}
    return {"submit": figures}
