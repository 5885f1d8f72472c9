"""Contract §3: the event stream of a task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from contracts.people import Household
from contracts.probes import RESULT
from contracts.shapes import PROGRESS, TASK, check, equals
from contracts.sse import Event
from contracts.world import PATIENCE, World


async def take(events: AsyncIterator[Event]) -> Event:
    async with asyncio.timeout(PATIENCE):
        return await anext(events)


async def rest(events: AsyncIterator[Event]) -> list[Event]:
    async with asyncio.timeout(PATIENCE):
        return [event async for event in events]


async def test_a_task_from_its_wait_to_its_end(world: World, home: Household) -> None:
    async with world.jammed():
        task_id = await world.submit(home, "report")
        stream = world.stream(task_id, home.owner)
        events = await stream.__aenter__()
        first = await take(events)
        expected = {"id": task_id, "status": "pending", "progress": 0, "message": None, "result": None, "error": None}
        assert first == Event("progress", expected)
        await world.flip()
    told = await rest(events)
    await stream.__aexit__(None, None, None)
    *before, last = told
    for event in before:
        assert event.name == "progress"
        check(event.data, {**PROGRESS, "id": task_id})
    assert last.name == "completed"
    check(last.data, {**TASK, "id": task_id, "status": "Completed", "progress": 100, "result": equals(RESULT)})
    progress = [event.data["progress"] for event in before]
    assert progress == sorted(progress)
    assert progress[-1] == 100, "the final change of progress comes before `completed`"
    standings = [(event.data["status"], event.data["progress"]) for event in [first, *before]]
    assert len(set(standings)) == len(standings), "only changes are told"


async def test_a_running_task(world: World, home: Household) -> None:
    async with world.held(home) as (task_id, hold), world.stream(task_id, home.owner) as events:
        first = await take(events)
        check(first.data, {**PROGRESS, "status": "processing", "progress": 10, "message": "held"})
        await world.flip()
        hold.release()
        names = [event.name for event in await rest(events)]
        assert names[-1] == "completed"
        assert set(names[:-1]) <= {"progress"}


async def test_every_watcher_is_told(world: World, home: Household) -> None:
    async with world.held(home) as (task_id, hold):

        async def watch() -> str:
            async with world.stream(task_id, home.owner) as events:
                await take(events)
                watching.release()
                return (await rest(events))[-1].name

        watching = asyncio.Semaphore(0)
        watchers = [asyncio.create_task(watch()) for _ in range(5)]
        for _ in watchers:
            await watching.acquire()
        await world.flip()
        hold.release()
        assert await asyncio.gather(*watchers) == ["completed"] * 5


async def test_a_failing_task(world: World, home: Household) -> None:
    async with world.jammed():
        task_id = await world.submit(home, "fatal no luck")
        stream = world.stream(task_id, home.owner)
        events = await stream.__aenter__()
        await take(events)
        await world.flip()
    told = await rest(events)
    await stream.__aexit__(None, None, None)
    assert told[-1].name == "failed"
    check(told[-1].data, {**TASK, "id": task_id, "status": "Failed", "error": "no luck"})
    assert {event.name for event in told[:-1]} <= {"progress"}


async def test_a_task_that_is_stopped(world: World, home: Household) -> None:
    task_id = await world.submit(home, delay_seconds=3600)
    async with world.stream(task_id, home.owner) as events:
        await take(events)
        await world.flip()
        assert (await world.client(home.owner).post(f"/api/v1/tasks/{task_id}/stop")).status_code == 200
        told = await rest(events)
        assert told[-1].name == "failed"
        check(told[-1].data, {**TASK, "status": "Failed", "error": "Task stopped by user"})


@pytest.mark.parametrize(
    ("do", "name", "status"), [("report", "completed", "Completed"), ("fatal", "failed", "Failed")]
)
async def test_a_task_that_is_over_has_one_event(
    world: World, home: Household, do: str, name: str, status: str
) -> None:
    task_id = await world.submit(home, do)
    await world.flip()
    await world.ended(task_id)
    async with world.stream(task_id, home.owner) as events:
        told = await rest(events)
    assert [event.name for event in told] == [name]
    check(told[0].data, {**TASK, "id": task_id, "status": status})


async def test_what_a_legacy_worker_writes_is_told(world: World, home: Household) -> None:
    """Without a word from the writer: legacy workers only update the row."""
    task_id = "legacy-" + home.name
    await world.database.execute(
        "INSERT INTO task_logs (id, group_id, task_type, status, worker_id, started_at, progress)"
        " VALUES ($1, $2, 'add_episode', 'PROCESSING', 'legacy-0a1b2c3d', now(), 20)",
        task_id,
        home.project_id,
    )
    async with world.stream(task_id, home.owner) as events:
        assert (await take(events)).data["progress"] == 20
        await world.database.execute("UPDATE task_logs SET progress = 60 WHERE id = $1", task_id)
        assert (await take(events)).data["progress"] == 60
        await world.database.execute(
            "UPDATE task_logs SET progress = 100, status = 'COMPLETED', completed_at = now() WHERE id = $1", task_id
        )
        told = await rest(events)
        assert [event.name for event in told] == ["progress", "completed"]
        assert told[0].data["progress"] == 100


async def test_an_unknown_task(world: World, home: Household) -> None:
    for person in (None, home.owner, world.admin):
        async with world.stream("6f1c2c1e-0000-4000-8000-000000000000", person) as events:
            assert await rest(events) == [Event("error", {"error": "Task not found"})]


async def test_a_task_of_another_tenant_is_like_none(world: World, home: Household, stranger: Household) -> None:
    task_id = await world.submit(home, delay_seconds=3600)
    async with world.stream(task_id, stranger.owner) as events:
        assert await rest(events) == [Event("error", {"error": "Task not found"})]


async def test_a_browser_sends_no_key(world: World, home: Household) -> None:
    """A1: `EventSource` cannot; the task's id is the capability."""
    task_id = await world.submit(home, delay_seconds=3600)
    async with world.stream(task_id) as events:
        assert (await take(events)).data["id"] == task_id


async def test_a_key_that_is_sent_must_be_valid(world: World, home: Household) -> None:
    task_id = await world.submit(home, delay_seconds=3600)
    headers = {"Authorization": f"Bearer ms_sk_{'0' * 64}"}
    answer = await world.client().get(f"/api/v1/tasks/{task_id}/stream", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid API key"})


async def test_the_exception_for_browsers_can_be_switched_off(world: World, home: Household) -> None:
    task_id = await world.submit(home)
    await world.ended(task_id)
    async with world.another_gateway(stream_without_key=False) as url:
        path = f"{url}/api/v1/tasks/{task_id}/stream"
        answer = await world.client().get(path)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert (await world.client().get(path, headers=home.owner.headers)).status_code == 200


async def test_headers_of_a_stream(world: World, home: Household) -> None:
    task_id = await world.submit(home)
    await world.ended(task_id)
    answer = await world.client(home.owner).get(f"/api/v1/tasks/{task_id}/stream")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].partition(";")[0] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.text.endswith("\n\n")
