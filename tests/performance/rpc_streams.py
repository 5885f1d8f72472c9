"""1,000 gRPC watches and 1,000 SSE streams on one gateway: how late a change arrives, and what a stream costs."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import grpc
import httpx
from taskgate.v1 import WatchRequest, WatchResponse

from deploy.local.env import read_env
from deploy.local.stack import EmbeddedStack
from tests.performance.idle import resident_mb
from tests.performance.table import percentiles
from workers.testing.waiting import until

STREAMS = 1000
METHOD = "/taskgate.v1.TaskService/Watch"
#: Light load: so many changes, with this pause (seconds) between them.
CHANGES, PAUSE = 300, 0.05
#: Changes of the one task that everybody watches.
COMMON_CHANGES, COMMON_PAUSE = 10, 1.0
QUIET_SECONDS = 10

Arrived = Callable[[str, str, int], None]
"""Called with the kind of stream, the task and its progress."""


class SseReader(asyncio.Protocol):
    """Reads the data of events with as little work as can be: what is measured is the server."""

    def __init__(self, event: Callable[[bytes], None]) -> None:
        self._event = event
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            _, found, text = event.partition(b"data: ")
            if found:
                self._event(text)


@functools.lru_cache(maxsize=16)
def progress_of_event(data: bytes) -> tuple[str, int]:
    """Task and progress."""
    found = json.loads(data)
    return found["id"], found["progress"]


@functools.lru_cache(maxsize=16)
def progress_of_answer(message: bytes) -> tuple[str, int]:
    """Task and progress."""
    task = WatchResponse.FromString(message).task
    return task.task_id, task.progress


class Streams:
    """Open streams, and who is told of what arrives."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._url = variables["TASKGATE_URL"]
        self._address = variables["TASKGATE_GRPC_ADDRESS"]
        self._authorization = f"Bearer {variables['TASKGATE_KEY_INITECH']}"
        self._readers: list[asyncio.Task[None]] = []
        self._closing: list[Callable[[], None]] = []
        self._channels: list[grpc.aio.Channel] = []
        self.arrived: Arrived = lambda kind, task_id, progress: None
        self.count = {"sse": 0, "watch": 0}
        """First answers, by kind."""

    async def open_sse(self, task_ids: list[str]) -> None:
        loop = asyncio.get_running_loop()
        for task_id in task_ids:
            parts = urlsplit(self._url)
            transport, _ = await loop.create_connection(lambda: SseReader(self._hear_sse()), parts.hostname, parts.port)
            transport.write(
                f"GET /api/v1/tasks/{task_id}/stream HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                f"Authorization: {self._authorization}\r\n\r\n".encode()
            )
            self._closing.append(transport.close)
        await self._until("sse", len(task_ids))

    def _hear_sse(self) -> Callable[[bytes], None]:
        seen = False

        def event(data: bytes) -> None:
            nonlocal seen
            self.arrived("sse", *progress_of_event(data))
            self.count["sse"] += not seen
            seen = True

        return event

    async def open_watches(self, task_ids: list[str], per_connection: int) -> None:
        metadata = [("authorization", self._authorization)]
        for first in range(0, len(task_ids), per_connection):
            # Channels with the same options would share a connection.
            channel = grpc.aio.insecure_channel(self._address, options=[("taskgate.bench", first)])
            self._channels.append(channel)
            watch = channel.unary_stream(METHOD)
            for task_id in task_ids[first : first + per_connection]:
                call = watch(WatchRequest(task_id=task_id).SerializeToString(), metadata=metadata)
                self._readers.append(asyncio.create_task(self._hear(call)))
        await self._until("watch", len(task_ids))

    async def _hear(self, call: Any) -> None:
        seen = False
        async for message in call:
            self.arrived("watch", *progress_of_answer(message))
            self.count["watch"] += not seen
            seen = True

    async def _until(self, kind: str, count: int) -> None:
        await until(lambda: self.count[kind] >= count, within=120)

    def broken(self) -> list[str]:
        """Why streams ended that should not have."""
        return [repr(reader.exception()) for reader in self._readers if reader.done()]

    async def close(self) -> None:
        for close in self._closing:
            close()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        for channel in self._channels:
            await channel.close()


class Changer:
    """Changes tasks as a worker does, and notes how long each change takes to arrive."""

    def __init__(self, db: asyncpg.Connection, streams: Streams) -> None:
        self._db = db
        self._began: dict[tuple[str, int], float] = {}
        self._left = 0
        self._all = asyncio.Event()
        self.taken: dict[str, list[float]] = {"sse": [], "watch": []}
        self._streams = streams
        streams.arrived = self._arrived

    async def change(self, task_id: str, progress: int, readers: int) -> None:
        """Commit a new progress that so many streams must hear of."""
        self._left += readers
        self._all.clear()
        async with self._db.transaction():
            await self._db.execute("UPDATE task_logs SET progress = $2 WHERE id = $1", task_id, progress)
            await self._db.execute("SELECT pg_notify('taskgate_changes', $1)", task_id)
            self._began[task_id, progress] = time.perf_counter()

    async def wait(self) -> None:
        """Return when every change has arrived everywhere."""
        try:
            async with asyncio.timeout(30):
                await self._all.wait()
        except TimeoutError:
            raise RuntimeError(f"{self._left} changes did not arrive; broken: {self._streams.broken()}") from None

    def _arrived(self, kind: str, task_id: str, progress: int) -> None:
        began = self._began.get((task_id, progress))
        if began is None:
            return
        self.taken[kind].append(time.perf_counter() - began)
        self._left -= 1
        if self._left == 0:
            self._all.set()


async def submit_tasks(variables: dict[str, str], count: int) -> list[str]:
    """Tasks that nobody will run before the measurement is over; their ids."""
    body = {"type": "bench_noop", "project_id": variables["TASKGATE_PROJECT_INITECH"], "delay_seconds": 3600}
    headers = {"Authorization": f"Bearer {variables['TASKGATE_KEY_INITECH']}"}
    async with httpx.AsyncClient(base_url=variables["TASKGATE_URL"], headers=headers, timeout=30) as http:

        async def submit() -> str:
            answer = await http.post("/gateway/v1/tasks", json=body)
            answer.raise_for_status()
            return str(answer.json()["task_id"])

        found: list[str] = []
        while len(found) < count:
            found += await asyncio.gather(*(submit() for _ in range(min(20, count - len(found)))))
        return found


async def transactions_per_second(db: asyncpg.Connection) -> float:
    """What all of the gateway's connections commit while nothing changes."""
    query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    before = await db.fetchval(query)
    await asyncio.sleep(QUIET_SECONDS)
    return round((await db.fetchval(query) - before) / QUIET_SECONDS, 1)


async def run(stack: EmbeddedStack, *, per_connection: int = 100) -> dict[str, Any]:
    """Everything on the stack's gateway."""
    variables = read_env(stack.env_file)
    pid = next(status.pid for status in await stack.status() if status.name == "gateway")
    assert pid is not None
    db = await asyncpg.connect(stack.database_url)
    streams = Streams(variables)
    try:
        task_ids = await submit_tasks(variables, STREAMS)
        figures: dict[str, Any] = {"queries_per_s": {"no_streams": await transactions_per_second(db)}}
        memory = [resident_mb(pid)]
        await streams.open_sse(task_ids)
        memory.append(resident_mb(pid))
        await streams.open_watches(task_ids, per_connection)
        memory.append(resident_mb(pid))
        figures["queries_per_s"]["all_streams"] = await transactions_per_second(db)
        memory.append(resident_mb(pid))
        figures["memory"] = {
            "sse_kb": round((memory[1] - memory[0]) * 1024 / STREAMS, 1),
            "watch_kb": round((memory[2] - memory[1]) * 1024 / STREAMS, 1),
            "stream_kb": round((memory[3] - memory[0]) * 1024 / (2 * STREAMS), 1),
        }
        changer = Changer(db, streams)
        for number in range(CHANGES):
            await changer.change(task_ids[(number * 7) % STREAMS], 1 + number % 99, readers=2)
            await asyncio.sleep(PAUSE)
        await changer.wait()
        figures |= {f"{kind}_spread": percentiles(taken) for kind, taken in changer.taken.items()}
        await streams.close()

        streams = Streams(variables)
        await streams.open_sse(task_ids[:1] * STREAMS)
        await streams.open_watches(task_ids[:1] * STREAMS, per_connection)
        changer = Changer(db, streams)
        for number in range(COMMON_CHANGES):
            await changer.change(task_ids[0], 200 + number, readers=2 * STREAMS)
            # A stream that is late shows only the latest change, so each has to arrive before the next.
            await changer.wait()
            await asyncio.sleep(COMMON_PAUSE)
        figures |= {f"{kind}_one_task": percentiles(taken) for kind, taken in changer.taken.items()}
        return figures
    finally:
        await streams.close()
        await db.close()
