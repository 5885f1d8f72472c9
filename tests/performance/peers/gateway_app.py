"""taskgate: tasks go in over HTTP, one POST each; the handler is this module's, a plug-in of its workers."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import effects

from workers.handlers.base import TaskContext, TaskHandler

#: Tasks of one project run one after the other on Redis: so many projects let all slots work.
PROJECTS = 50


class Bench(TaskHandler):
    """What all systems run."""

    task_type = "bench"
    timeout_seconds = 24 * 3600

    async def process(self, payload: dict[str, Any], context: TaskContext) -> None:
        await effects.run(payload["name"], payload["kind"])


def register(registry: Any) -> None:
    registry.register(Bench())


@asynccontextmanager
async def open_sender() -> AsyncIterator[Callable[[str, str], Awaitable[None]]]:
    parts = urlsplit(os.environ["TASKGATE_URL"])
    head = f"POST /gateway/v1/tasks HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {os.environ['BENCH_KEY']}\r\n"
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(name: str, kind: str) -> None:
        project = f"{os.environ['BENCH_PROJECT']}-{int(name.rpartition('-')[2]) % PROJECTS}"
        body = json.dumps({"type": "bench", "project_id": project, "payload": {"name": name, "kind": kind}}).encode()
        reader, writer = idle.pop() if idle else await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        content = await reader.readexactly(length)
        if not answer.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(f"refused: {content!r}")
        idle.append((reader, writer))

    yield send
    for _, writer in idle:
        writer.close()
