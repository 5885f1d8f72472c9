"""Server-Sent Events of a task (contract §3): events and their order, who may listen, what a stream leaves behind."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gateway.dags.paths import task_id_of
from gateway.schedules.definition import ScheduleDefinition
from gateway.schedules.schedule import Schedule
from gateway.submission.ids import new_task_id
from workers.testing.waiting import until

PATIENCE = 20.0

Event = tuple[str, dict[str, Any]]


class Events:
    """Reads the events of one stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        self.comments = 0

    async def next(self) -> Event | None:
        """The next event; None at the end of the stream."""
        name = data = None
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    data = json.loads(line.removeprefix("data: "))
                elif not line and name is not None and data is not None:
                    return name, data
        return None

    async def comment(self) -> None:
        """Wait for a keepalive."""
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                if line.startswith(":"):
                    return

    async def rest(self) -> list[Event]:
        events = []
        while (event := await self.next()) is not None:
            events.append(event)
        return events


@pytest.fixture
def follow(server: Any) -> Callable[..., Any]:
    """Opens a stream, by default without a key, as a browser does."""

    @asynccontextmanager
    async def follow(task_id: str, user: str | None = None) -> AsyncIterator[Events]:
        async with server.client(user) as client, client.stream("GET", f"/{task_id}/stream") as response:
            yield Events(response)

    return follow


@pytest.fixture
def write(world: Any, server: Any) -> Callable[..., Any]:
    async def write(task_id: str, **columns: Any) -> None:
        assignments = ", ".join(
            f"{name} = ${n}::json" if name == "result" else f"{name} = ${n}" for n, name in enumerate(columns, 2)
        )
        await world.database.execute(f"UPDATE task_logs SET {assignments} WHERE id = $1", task_id, *columns.values())
        server.gateway.notifier.changed(task_id)

    return write


async def test_a_task_is_followed_to_its_end(world: Any, client: httpx.AsyncClient, follow: Any, write: Any) -> None:
    task_id = await world.add()
    async with follow(task_id) as events:
        headers = events.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")
        assert "content-length" not in headers
        shape = {"id": task_id, "message": None, "result": None, "error": None}
        assert await events.next() == ("progress", {**shape, "status": "pending", "progress": 0})
        await write(task_id, worker_id="w")
        assert await events.next() == ("progress", {**shape, "status": "processing", "progress": 0})
        await write(task_id, progress=30, message="nodes", result='{\n"a":\r\n 1}')
        said = {**shape, "message": "nodes", "result": {"a": 1}}
        assert await events.next() == ("progress", {**said, "status": "processing", "progress": 30})
        await write(task_id, progress=100, status="COMPLETED")
        assert await events.next() == ("progress", {**said, "status": "completed", "progress": 100})
        assert await events.next() == ("completed", (await client.get(f"/{task_id}")).json())
        assert await events.next() is None


@pytest.mark.parametrize(("status", "name"), [("COMPLETED", "completed"), ("FAILED", "failed"), ("STOPPED", "failed")])
async def test_a_finished_task_ends_at_once(
    world: Any, client: httpx.AsyncClient, follow: Any, status: str, name: str
) -> None:
    task_id = await world.add(status=status, progress=70, error_message="e")
    async with follow(task_id) as events:
        assert await events.rest() == [(name, (await client.get(f"/{task_id}")).json())]


async def test_a_stop_ends_the_stream_as_failed(world: Any, client: httpx.AsyncClient, follow: Any) -> None:
    task_id = await world.add(worker_id="w", progress=10)
    async with follow(task_id) as events:
        assert (await events.next() or ("", {}))[1]["status"] == "processing"
        assert (await client.post(f"/{task_id}/stop")).status_code == 200
        rest = await events.rest()
        assert [name for name, _ in rest] == ["progress", "failed"]
        assert rest[-1][1]["error"] == "Task stopped by user"


async def test_what_changes_neither_status_nor_progress_is_no_event(world: Any, follow: Any, write: Any) -> None:
    task_id = await world.add(worker_id="w")
    async with follow(task_id) as events:
        await events.next()
        await write(task_id, message="only words")
        await write(task_id, progress=1)
        event = await events.next()
        assert event is not None
        assert (event[1]["progress"], event[1]["message"]) == (1, "only words")


async def test_a_quiet_stream_is_kept_alive(world: Any, serve: Any) -> None:
    path = f"/{await world.add()}/stream"
    async with (
        serve(stream_keepalive_seconds=0.05) as server,
        server.client() as client,
        client.stream("GET", path) as r,
    ):
        events = Events(r)
        await events.next()
        await events.comment()
        await events.comment()


async def test_an_unknown_task_is_an_error_event(follow: Any) -> None:
    for task_id in ("unknown", "x" * 5000, "a,b"):
        async with follow(task_id) as events:
            assert events.response.status_code == 200
            assert await events.rest() == [("error", {"error": "Task not found"})]


async def test_a_task_that_disappears(world: Any, server: Any, follow: Any) -> None:
    task_id = await world.add()
    async with follow(task_id) as events:
        await events.next()
        await world.database.execute("DELETE FROM task_logs WHERE id = $1", task_id)
        server.gateway.notifier.changed(task_id)
        assert await events.rest() == [("error", {"error": "Task disappeared from database"})]


async def test_a_key_that_is_sent_counts(world: Any, server: Any, follow: Any) -> None:
    """Quirk A1: without a key the id is enough; with one, its owner must be allowed to see the task."""
    task_id = await world.add(status="COMPLETED")
    for user in (None, "ann", "root"):
        async with follow(task_id, user) as events:
            assert [name for name, _ in await events.rest()] == ["completed"]
    async with follow(task_id, "gus") as events:
        assert await events.rest() == [("error", {"error": "Task not found"})]
    async with server.client(None) as client:
        answer = await client.get(f"/{task_id}/stream", headers={"Authorization": "Bearer ms_sk_" + "0" * 64})
        assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid API key"})
    assert server.gateway.feed.subscriptions == 0


async def test_an_id_that_can_be_computed_is_not_enough(world: Any, server: Any, follow: Any) -> None:
    """Who has seen a schedule or a run once knows the ids of all its tasks to come."""
    now = datetime.now(UTC)
    definition = ScheduleDefinition(name="n", specs=[{"cron": "0 * * * *"}], action={"type": "probe"})
    schedule = Schedule("schedule", "acme", None, "ann", definition, 1, None, None, now, now)
    run_id = str(uuid.uuid4())
    for task_id in (schedule.task_id(now), task_id_of(run_id, "a"), task_id_of(run_id, "a~undo", 2)):
        await world.add(id=task_id, status="COMPLETED")
        async with follow(task_id) as events:
            assert await events.rest() == [("error", {"error": "Task not found"})]
        async with follow(task_id, "ann") as events:
            assert [name for name, _ in await events.rest()] == ["completed"]
    for known in (run_id, new_task_id(), "of a legacy producer"):
        await world.add(id=known, status="COMPLETED")
        async with follow(known) as events:
            assert [name for name, _ in await events.rest()] == ["completed"]
    assert server.gateway.feed.subscriptions == 0


async def test_streams_without_a_key_can_be_switched_off(world: Any, serve: Any) -> None:
    task_id = await world.add(status="COMPLETED")
    async with serve(stream_without_key=False) as server:
        async with server.client(None) as client:
            assert (await client.get(f"/{task_id}/stream")).status_code == 401
        async with server.client("ann") as client:
            assert (await client.get(f"/{task_id}/stream")).status_code == 200


async def test_cut_streams_leave_nothing_behind(world: Any, server: Any) -> None:
    """Hundreds of clients vanish without a word."""
    ids = [await world.add() for _ in range(10)]
    feed = server.gateway.feed
    host, port = server.url.removeprefix("http://").split(":")
    writers = []
    for n in range(300):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /api/v1/tasks/{ids[n % 10]}/stream HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())
        await asyncio.wait_for(reader.readuntil(b"event: progress"), PATIENCE)
        writers.append(writer)
    assert (feed.watched, feed.subscriptions) == (10, 300)
    for n, writer in enumerate(writers):
        if n % 2:
            writer.transport.abort()
        else:
            writer.close()
    await until(lambda: not feed.subscriptions, pause=0)
    assert feed.watched == 0
    assert not [task for task in asyncio.all_tasks() if "_stream_response" in repr(task.get_coro())]


@pytest.mark.parametrize(
    "ending",
    [
        "UPDATE api_keys SET is_active = false WHERE id = 'ann'",
        "UPDATE api_keys SET expires_at = now() WHERE id = 'ann'",
        "DELETE FROM api_keys WHERE id = 'ann'",
        "UPDATE users SET is_active = false WHERE id = 'ann'",
    ],
)
async def test_a_stream_ends_with_its_key(world: Any, server: Any, follow: Any, ending: str) -> None:
    """Within five seconds; streams of others go on."""
    task_id = await world.add()
    async with follow(task_id, "ann") as events, follow(task_id, "root") as other:
        await events.next()
        await other.next()
        await world.database.execute(ending)
        async with asyncio.timeout(5):
            assert await events.rest() == []
        await world.database.execute("UPDATE task_logs SET progress = 7 WHERE id = $1", task_id)
        server.gateway.notifier.changed(task_id)
        event = await other.next()
        assert event is not None
        assert event[1]["progress"] == 7


async def test_shutdown_ends_streams(world: Any, server: Any, follow: Any) -> None:
    task_id = await world.add()
    async with follow(task_id) as events:
        await events.next()
        server.gateway.feed.end_streams()
        assert await events.rest() == []
    async with server.client() as client:
        answer = await client.get(f"/{task_id}/stream")
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0


async def test_two_hundred_streams_see_every_end(world: Any, server: Any, write: Any) -> None:
    ids = [await world.add() for _ in range(20)]
    begun = asyncio.Semaphore(0)
    async with server.client(None) as client:

        async def read(task_id: str) -> list[str]:
            async with client.stream("GET", f"/{task_id}/stream") as response:
                events = Events(response)
                names = []
                while (event := await events.next()) is not None:
                    names.append(event[0])
                    if len(names) == 1:
                        begun.release()
                return names

        reading = [asyncio.create_task(read(ids[n % 20])) for n in range(200)]
        async with asyncio.timeout(PATIENCE):
            for _ in reading:
                await begun.acquire()
        for task_id in ids:
            await write(task_id, progress=50, worker_id="w")
        for task_id in ids:
            await write(task_id, progress=100, status="COMPLETED")
        for names in await asyncio.gather(*reading):
            assert names[0] == "progress"
            assert names[-2:] == ["progress", "completed"]
            assert names.count("completed") == 1
