"""`GET /gateway/v1/tasks/stream`: what changes of a list, to those alone who may see it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

from contracts.sse import Event, following, read_events
from gateway.bootstrap import Gateway, build_gateway
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.tasks.changes.any_task import BATCH, AnyTaskWatch
from gateway.tasks.changes.arrivals import Arrivals
from gateway.tasks.changes.notifier import CHANGES_CHANNEL
from workers.testing.waiting import until

TASKS = "/gateway/v1/tasks"
STREAM = f"{TASKS}/stream"
NONE = Event("tasks", {"tasks": [], "others": []})


def with_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def submit(client: httpx.AsyncClient, headers: dict[str, str], **more: Any) -> str:
    answer = await client.post(TASKS, json={"type": "probe", "payload": {}, **more}, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def listed(url: str, headers: dict[str, str], **query: Any) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
    """What a list's stream tells."""
    return following(f"{url}{STREAM}", headers, NONE, **query)


@pytest.fixture
async def listening(database_url: str, serve_http: Any) -> AsyncIterator[tuple[str, Gateway]]:
    """Address and parts of a gateway behind a port, without engines."""
    gateway = build_gateway(Settings(database_url=database_url, grpc_enabled=False), engines={})
    async with serve_http(gateway) as port:
        await gateway.feed.wait_listening()
        yield f"http://127.0.0.1:{port}", gateway


async def first_of(events: AsyncIterator[Event], task_id: str) -> dict[str, Any]:
    """The first event that tells of the task."""
    async with asyncio.timeout(20):
        async for event in events:
            told = event.data
            if event.name == "tasks" and task_id in [*told["others"], *(task["task_id"] for task in told["tasks"])]:
                return told
    raise AssertionError("the stream ended")


async def test_it_tells_what_is_accepted_and_what_becomes_of_it(listening: tuple[str, Gateway], key: str) -> None:
    url, _ = listening
    headers = with_key(key)
    async with httpx.AsyncClient(base_url=url) as client, listed(url, headers) as events:
        task_id = await submit(client, headers)
        (task,) = (await first_of(events, task_id))["tasks"]
        assert (task["task_id"], task["state"], task["tenant_id"]) == (task_id, "waiting", "t-ann")
        assert task.keys() == (await client.get(TASKS, headers=headers)).json()["tasks"][0].keys()
        assert (await client.post(f"/api/v1/tasks/{task_id}/stop", headers=headers)).status_code == 200
        (task,) = (await first_of(events, task_id))["tasks"]
        assert task["state"] == "stopped"


async def test_what_is_no_longer_wanted_is_named(listening: tuple[str, Gateway], key: str) -> None:
    url, _ = listening
    headers = with_key(key)
    async with httpx.AsyncClient(base_url=url) as client, listed(url, headers, state="waiting") as events:
        task_id = await submit(client, headers)
        assert (await first_of(events, task_id))["others"] == []
        await client.post(f"/api/v1/tasks/{task_id}/stop", headers=headers)
        assert await first_of(events, task_id) == {"tasks": [], "others": [task_id]}


async def test_readers_of_one_task_hear_no_more_than_before(listening: tuple[str, Gateway], key: str) -> None:
    """What lists alone show changes nothing for them: they are told of changes, and of nothing else."""
    url, gateway = listening
    headers = with_key(key)
    async with httpx.AsyncClient(base_url=url) as client, listed(url, headers) as events:
        task_id = await submit(client, headers)
        async with gateway.feed.subscribe(task_id) as one:
            await one.get(timeout=20)
            await first_of(events, task_id)
            gateway.arrivals.tell(task_id)
            await first_of(events, task_id)
            later = await submit(client, headers)
            await first_of(events, later)
            with pytest.raises(TimeoutError):
                await one.get(timeout=0)


async def test_of_named_tasks_those_alone_are_told(listening: tuple[str, Gateway], key: str) -> None:
    url, _ = listening
    headers = with_key(key)
    async with httpx.AsyncClient(base_url=url) as client:
        named = await submit(client, headers)
        async with listed(url, headers, id=named) as events:
            await submit(client, headers)
            await client.post(f"/api/v1/tasks/{named}/stop", headers=headers)
            async with asyncio.timeout(20):
                async for event in events:
                    assert [task["task_id"] for task in event.data["tasks"]] == [named]
                    assert event.data["others"] == []
                    if event.data["tasks"][0]["state"] == "stopped":
                        break


async def test_nobody_hears_of_tasks_of_others(listening: tuple[str, Gateway], key: str, bob: dict[str, str]) -> None:
    url, _ = listening
    async with httpx.AsyncClient(base_url=url) as client, listed(url, bob, state="failed") as events:
        foreign = await submit(client, with_key(key))
        own = await submit(client, bob)
        async with asyncio.timeout(20):
            async for event in events:
                assert foreign not in json.dumps(event.data)
                if own in event.data.get("others", ()):
                    break


async def test_a_tenant_of_others_is_refused(listening: tuple[str, Gateway], key: str) -> None:
    url, _ = listening
    async with httpx.AsyncClient(base_url=url) as client:
        refused = await client.get(STREAM, params={"tenant_id": "t-bob"}, headers=with_key(key))
        assert refused.status_code == 403
        wrong = await client.get(STREAM, params={"sate": "failed"}, headers=with_key(key))
        assert wrong.status_code == 422


async def test_a_listener_that_was_cut_off_says_that_something_was_missed(
    listening: tuple[str, Gateway], key: str, database: Database
) -> None:
    url, _ = listening
    async with listed(url, with_key(key)) as events:
        await database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        async with asyncio.timeout(20):
            assert await anext(events) == Event("missed", {})


class FakeListener:
    """Passes on what the test says."""

    def __init__(self) -> None:
        self.heard: dict[str, Any] = {}

    def subscribe(self, channel: str, heard: Any, *, missed: Any = None) -> None:
        self.heard[channel] = heard


async def test_a_flood_is_one_word(database: Database) -> None:
    listener: Any = FakeListener()
    watch = AnyTaskWatch(listener, Arrivals(database, None))
    tell = listener.heard[CHANGES_CHANNEL]
    subscription = watch.subscribe().open()
    tell(",".join(f"t{number}" for number in range(BATCH + 1)))
    first, second = await subscription.changes(1), await subscription.changes(1)
    assert first is not None
    assert second is not None
    assert (len(first.items), len(second.items), first.missed) == (BATCH, 1, False)
    assert await subscription.changes(0.01) is None
    for piece in range(20):
        tell(",".join(f"{piece}-{number}" for number in range(300)))
    flood = await subscription.changes(1)
    assert flood is not None
    assert flood.missed
    watch.end_streams()
    assert subscription.is_closed
    assert watch.subscribe().open().is_closed
    assert watch.subscriptions == 0


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM user_tenants WHERE user_id = 'eve' AND tenant_id = 't-bob'",
        "UPDATE user_tenants SET role = 'guest' WHERE user_id = 'eve' AND tenant_id = 't-bob'",
        "UPDATE tenants SET owner_id = 'ann' WHERE id = 't-eve'",
        "DELETE FROM user_projects WHERE user_id = 'eve'",
        "DELETE FROM user_roles WHERE user_id = 'eve'",
    ],
)
async def test_it_ends_when_the_rights_of_who_follows_change(
    listening: tuple[str, Gateway], people: Any, bob: dict[str, str], database: Database, change: str
) -> None:
    url, _ = listening
    eve = with_key(await people.add_user("eve", admin="user_roles" in change))
    await people.add_tenant("t-eve", "eve")
    await people.add_member("eve", "t-ann")
    await people.add_member("eve", "t-bob")
    await people.add_project_member("eve", "p-ann")
    async with httpx.AsyncClient(base_url=url) as client, listed(url, eve) as events, listed(url, bob) as others:
        await first_of(events, await submit(client, bob))
        await database.execute(change)
        async with asyncio.timeout(5):
            assert [event async for event in events] == []
        # It says nothing about streams of other users.
        await first_of(others, await submit(client, bob))
    if "user_tenants" in change and "DELETE" in change:
        async with httpx.AsyncClient(base_url=url) as client, listed(url, eve) as events:
            foreign = await submit(client, bob)
            own = await submit(client, eve, tenant_id="t-ann")
            assert foreign not in str(await first_of(events, own))


async def test_a_stream_goes_on_while_rights_stay_as_they_are(
    listening: tuple[str, Gateway], people: Any, bob: dict[str, str], database: Database
) -> None:
    url, gateway = listening
    eve = with_key(await people.add_user("eve"))
    await people.add_member("eve", "t-bob")
    await people.add_project_member("eve", "p-ann")
    looked = 0
    look = gateway.access._watch._valid

    async def counted(asked: Any) -> Any:
        nonlocal looked
        valid = await look(asked)
        assert valid == set(asked)
        looked += 1
        return valid

    gateway.access._watch._valid = counted  # type: ignore[method-assign]
    gateway.access._watch._seconds = 0.05
    async with httpx.AsyncClient(base_url=url) as client, listed(url, eve) as events:
        await until(lambda: looked > 2)
        # The same rows, written anew: they may come in another order. What is added takes nothing away.
        await database.execute("UPDATE user_projects SET role = role WHERE user_id = 'eve'")
        await people.add_member("eve", "t-ann")
        before = looked
        await until(lambda: looked > before + 2)
        await first_of(events, await submit(client, bob))


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ("UPDATE user_tenants SET role = 'guest' WHERE user_id = 'eve'", False),
        ("DELETE FROM user_projects WHERE user_id = 'eve'", False),
        ("DELETE FROM user_tenants WHERE user_id = 'eve'", True),
    ],
)
async def test_the_stream_of_one_task_ends_only_when_it_is_no_longer_seen(
    listening: tuple[str, Gateway], people: Any, bob: dict[str, str], database: Database, change: str, ends: bool
) -> None:
    url, gateway = listening
    eve = with_key(await people.add_user("eve"))
    await people.add_member("eve", "t-bob")
    await people.add_project_member("eve", "p-ann")
    gateway.access._watch._seconds = 0.05
    looks = 0
    look = gateway.access._watch._valid

    async def counted(asked: Any) -> Any:
        nonlocal looks
        valid = await look(asked)
        looks += 1
        return valid

    gateway.access._watch._valid = counted  # type: ignore[method-assign]
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        task_id = await submit(client, bob)
        async with client.stream("GET", f"/api/v1/tasks/{task_id}/stream", headers=eve) as answer:
            events = read_events(answer)
            assert (await anext(events)).name == "progress"
            await database.execute(change)
            if not ends:
                before = looks
                await until(lambda: looks > before + 2)
                assert (await client.post(f"/api/v1/tasks/{task_id}/stop", headers=bob)).status_code == 200
            async with asyncio.timeout(5):
                names = [event.name for event in [event async for event in events]]
    assert names == ([] if ends else ["progress", "failed"])
