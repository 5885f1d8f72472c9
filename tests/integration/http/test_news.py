"""`GET /gateway/v1/news/stream`: what kind of thing has changed, to those alone who may look at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import httpx
import pytest

from contracts.sse import Event, following
from gateway.bootstrap import Gateway, build_gateway
from gateway.settings import Settings
from gateway.storage.database import Database

STREAM = "/gateway/v1/news/stream"
NONE = Event("news", {"changed": []})
Events = AsyncIterator[Event]

ADD_WORKER = (
    "INSERT INTO taskgate.process (process_id, kind, pool, backend, host, pid, version, slots, task_types, lock_key)"
    " VALUES ($1, 'worker', 'A', 'temporal', 'box/boot/1', 7, '0.1', 20, '{probe}', 1)"
)


def news(*changed: tuple[str, str | None]) -> Event:
    return Event("news", {"changed": [{"topic": topic, "tenant_id": tenant_id} for topic, tenant_id in changed]})


def heard(url: str, headers: dict[str, str], **query: Any) -> AbstractAsyncContextManager[Events]:
    """What the stream tells."""
    return following(f"{url}{STREAM}", headers, NONE, **query)


async def next_of(events: Events) -> Event:
    async with asyncio.timeout(20):
        return await anext(events)


@pytest.fixture
async def listening(database_url: str, serve_http: Any) -> AsyncIterator[tuple[str, Gateway]]:
    """Address and parts of a gateway behind a port, without engines."""
    gateway = build_gateway(Settings(database_url=database_url, grpc_enabled=False), engines={})
    async with serve_http(gateway) as port:
        await gateway.feed.wait_listening()
        reading = asyncio.create_task(gateway.news_watch.run())
        yield f"http://127.0.0.1:{port}", gateway
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


@pytest.fixture
async def root(listening: tuple[str, Gateway], admin: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """A client with an administrator's key."""
    async with httpx.AsyncClient(base_url=listening[0], headers=admin) as client:
        yield client


async def ask(client: httpx.AsyncClient, method: str, path: str, **body: Any) -> Any:
    answer = await client.request(method, f"/gateway/v1/{path}", **({"json": body} if body else {}))
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def test_a_change_is_told_to_whose_it_is_and_to_administrators(
    listening: tuple[str, Gateway], key: str, root: httpx.AsyncClient, admin: dict[str, str], bob: dict[str, str]
) -> None:
    url, _ = listening
    async with AsyncExitStack() as stack:
        ann, other, of_root = [
            await stack.enter_async_context(heard(url, headers, topic=["quota", "pause", "tenant"]))
            for headers in ({"Authorization": f"Bearer {key}"}, bob, admin)
        ]
        await ask(root, "PUT", "tenants/t-ann/quotas", queued=10, why="much")
        assert await next_of(ann) == news(("quota", "t-ann"))
        await ask(root, "POST", "pauses", tenant_id="t-ann", why="storm")
        assert await next_of(ann) == news(("pause", "t-ann"))
        await ask(root, "PUT", "tenants/t-ann", weight=2, why="more")
        assert await next_of(ann) == news(("tenant", "t-ann"))
        # Bob has heard nothing of that; of what holds everybody he hears.
        await ask(root, "POST", "pauses", task_type="probe", why="all of them")
        assert await next_of(other) == news(("pause", None))
        assert await next_of(ann) == news(("pause", None))
        told = (("quota", "t-ann"), ("pause", "t-ann"), ("tenant", "t-ann"), ("pause", None))
        assert [await next_of(of_root) for _ in told] == [news(one) for one in told]


async def test_keys_are_told_to_who_manages_them(
    listening: tuple[str, Gateway], key: str, root: httpx.AsyncClient, bob: dict[str, str], people: Any
) -> None:
    url, _ = listening
    member = {"Authorization": f"Bearer {await people.add_user('mia')}"}
    await people.add_member("mia", "t-ann", "member")
    async with AsyncExitStack() as stack:
        ann, other = [
            await stack.enter_async_context(heard(url, headers, topic="key"))
            for headers in ({"Authorization": f"Bearer {key}"}, bob)
        ]
        made = await ask(root, "POST", "keys", name="nightly", user_id="ann", tenant_id="t-ann", scope="read")
        assert await next_of(ann) == news(("key", "t-ann"))
        await ask(root, "DELETE", f"keys/{made['key_id']}")
        assert await next_of(ann) == news(("key", "t-ann"))
        # A key of bob's own, of no tenant.
        await ask(root, "POST", "keys", name="own", user_id="bob", scope="read")
        assert await next_of(other) == news(("key", None))
    async with httpx.AsyncClient(base_url=url, headers=member) as client:
        assert (await client.get(STREAM, params={"topic": "key"})).status_code == 403
        assert (await client.get(STREAM, params={"topic": "audit"})).status_code == 403
        assert (await client.get(STREAM, params={"topic": "kay"})).status_code == 422
        assert (await client.get(STREAM, headers={"Authorization": ""})).status_code == 401


async def test_a_role_in_one_tenant_is_none_in_another(
    listening: tuple[str, Gateway], key: str, root: httpx.AsyncClient, people: Any
) -> None:
    """Who manages keys of a tenant, and only looks on in another one, hears of the first alone."""
    url, _ = listening
    mia = {"Authorization": f"Bearer {await people.add_user('mia')}"}
    await people.add_tenant("t-mia", "mia")
    await people.add_member("mia", "t-mia", "owner")
    await people.add_member("mia", "t-ann", "guest")
    async with heard(url, mia, topic=["key", "quota"]) as events:
        await ask(root, "POST", "keys", name="nightly", user_id="ann", tenant_id="t-ann", scope="read")
        await ask(root, "PUT", "tenants/t-ann/quotas", queued=10, why="much")
        assert await next_of(events) == news(("quota", "t-ann"))
        await ask(root, "POST", "keys", name="nightly", user_id="mia", tenant_id="t-mia", scope="read")
        assert await next_of(events) == news(("key", "t-mia"))


async def test_who_names_no_topic_hears_what_it_may_look_at(
    listening: tuple[str, Gateway], key: str, root: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    url, _ = listening
    only_reads = (await ask(root, "POST", "keys", name="reads", user_id="ann", tenant_id="t-ann", scope="read"))["key"]
    async with (
        heard(url, {"Authorization": f"Bearer {key}"}) as ann,
        heard(url, {"Authorization": f"Bearer {only_reads}"}) as reader,
        heard(url, admin) as of_root,
    ):
        await ask(root, "POST", "keys", name="nightly", user_id="ann", tenant_id="t-ann", scope="read")
        assert await next_of(ann) == news(("key", "t-ann"))
        assert await next_of(of_root) == news(("audit", None), ("key", "t-ann"))
        await ask(root, "PUT", "tenants/t-ann/quotas", queued=10, why="much")
        assert await next_of(ann) == news(("quota", "t-ann"))
        # A key that may only read hears nothing of keys, whoever's it is.
        assert await next_of(reader) == news(("quota", "t-ann"))
        assert await next_of(of_root) == news(("audit", None), ("quota", "t-ann"))


async def test_of_one_tenant_no_other_is_told(
    listening: tuple[str, Gateway], root: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    url, _ = listening
    async with heard(url, admin, topic="quota", tenant_id="t-ann") as events:
        await ask(root, "PUT", "tenants/t-bob/quotas", queued=10, why="much")
        await ask(root, "PUT", "tenants/t-ann/quotas", queued=10, why="much")
        assert await next_of(events) == news(("quota", "t-ann"))


async def test_a_key_for_one_project_hears_nothing_of_its_tenant(
    listening: tuple[str, Gateway], root: httpx.AsyncClient, key: str, database: Database
) -> None:
    url, _ = listening
    scoped = {"user_id": "ann", "tenant_id": "t-ann", "project_id": "p-ann", "scope": "admin"}
    narrow = (await ask(root, "POST", "keys", name="narrow", **scoped))["key"]
    topics = ["quota", "pause", "operation"]
    async with heard(url, {"Authorization": f"Bearer {narrow}"}, topic=topics) as events:
        await ask(root, "PUT", "tenants/t-ann/quotas", queued=10, why="much")
        # Of what its user does elsewhere, neither.
        await database.execute('SELECT pg_notify(\'taskgate_news\', \'{"topic": "operation", "user": "ann"}\')')
        await ask(root, "POST", "pauses", task_type="probe", why="all of them")
        assert await next_of(events) == news(("pause", None))


async def test_a_worker_that_comes_or_goes_is_told_and_its_heartbeat_is_not(
    listening: tuple[str, Gateway], database: Database, admin: dict[str, str]
) -> None:
    url, _ = listening
    async with heard(url, admin, topic="worker") as events:
        await database.execute(ADD_WORKER, "w-1")
        assert await next_of(events) == news(("worker", None))
        for _ in range(3):
            await database.execute("UPDATE taskgate.process SET renewed_at = now()")
        await database.execute("SELECT pg_notify('taskgate_news', '{\"topic\": \"plan\"}')")
        await database.execute("SELECT pg_notify('taskgate_news', '{\"topic\": \"of a newer gateway\"}')")
        await database.execute("UPDATE taskgate.process SET renewed_at = '-infinity'")
        assert await next_of(events) == news(("worker", None))
        await database.execute('SELECT pg_notify(\'taskgate_news\', \'{"topic": "worker", "tenant": "end"}\')')
        assert await next_of(events) == news(("worker", "end"))


async def test_a_dismissed_dead_letter_and_an_operation_are_told(
    listening: tuple[str, Gateway], key: str, root: httpx.AsyncClient, bob: dict[str, str], database: Database
) -> None:
    url, gateway = listening
    await database.execute(
        "INSERT INTO taskgate.dead_letter (id, kind, tenant_id, task_type, backend, reason)"
        " VALUES ('l-1', 'task', 't-ann', 'probe', 'redis', 'exhausted')"
    )
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
        await ask(client, "POST", "tasks", type="probe", payload={})
        async with heard(url, dict(client.headers), topic=["dead_letter", "operation"]) as ann:
            await ask(root, "POST", "dead-letters/l-1/dismiss")
            assert await next_of(ann) == news(("dead_letter", "t-ann"))
            await ask(client, "POST", "operations", action="cancel", filter={"tenant_id": "t-ann"})
            while await gateway.operation_runner.step():
                pass
            assert await next_of(ann) == news(("operation", "t-ann"))
            # Whoever began it hears of it, also when it is of no tenant any more.
            await database.execute("UPDATE taskgate.operation SET tenant_ids = '{}', done = done + 1")
            while (told := await next_of(ann)) != news(("operation", None)):
                assert told == news(("operation", "t-ann"))


async def test_a_listener_that_was_cut_off_says_that_something_was_missed(
    listening: tuple[str, Gateway], admin: dict[str, str], root: httpx.AsyncClient, database: Database
) -> None:
    url, _ = listening
    async with heard(url, admin, topic="quota") as events:
        await database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        assert await next_of(events) == Event("missed", {})
        await ask(root, "PUT", "tenants/t-ann/quotas", queued=10, why="much")
        assert await next_of(events) == news(("quota", "t-ann"))


async def test_a_task_tells_nothing(listening: tuple[str, Gateway], key: str, admin: dict[str, str]) -> None:
    """What each task does costs no notification here."""
    url, gateway = listening
    async with (
        httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client,
        heard(url, admin) as events,
    ):
        task_id = (await ask(client, "POST", "tasks", type="probe", payload={}))["task_id"]
        await ask(client, "POST", f"tasks/{task_id}/run-at", delay_seconds=60)
        assert (await client.post(f"/api/v1/tasks/{task_id}/stop")).is_success
        gateway.news_watch.end_streams()
        with pytest.raises(StopAsyncIteration):
            await next_of(events)
    async with httpx.AsyncClient(base_url=url, headers=admin) as client:
        assert (await client.get(STREAM)).status_code == 503


async def test_each_step_of_a_plan_is_told(
    listening: tuple[str, Gateway], database: Database, key: str, root: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    """What the one who drives it writes down has no entry on the record."""
    text = "name: spring\nwhy: the move\nbake: '0'\nwaves: [{name: pilot, tenants: [t-ann]}]\n"
    headers = {"Content-Type": "application/yaml"}
    assert (await root.put("/gateway/v1/migration/plans/spring", content=text, headers=headers)).is_success
    async with heard(listening[0], admin, topic="plan") as events:
        await database.execute("UPDATE taskgate.plan SET says = 'it bakes'")
        assert await next_of(events) == news(("plan", None))
        await database.execute(
            "INSERT INTO taskgate.plan_tenant (plan, tenant_id, wave, turn) VALUES ('spring', 't-ann', 0, 0)"
            " ON CONFLICT (plan, tenant_id) DO UPDATE SET state = 'moving'"
        )
        assert await next_of(events) == news(("plan", None))


async def test_what_a_guardrail_does_is_told_to_who_observes(
    listening: tuple[str, Gateway], database: Database, admin: dict[str, str]
) -> None:
    async with heard(listening[0], admin, topic="guardrail") as events:
        await database.execute(
            "INSERT INTO taskgate.guardrail_event (tenant_id, kind, why, who, evidence)"
            " VALUES ('t-ann', 'rolled_back', 'slow', '', '{}')"
        )
        assert await next_of(events) == news(("guardrail", None))


async def test_a_change_of_stage_is_told_of_the_stage_and_of_the_tenant(
    listening: tuple[str, Gateway], database: Database, key: str, admin: dict[str, str], bob: dict[str, str]
) -> None:
    """A page of a tenant shows its stage; who may not observe hears of the tenant alone."""
    url, _ = listening

    async def flip(entry: int, scope: str) -> None:
        await database.execute(
            "INSERT INTO taskgate.ledger (id, at, kind, source, scope, after, who, why, version, evidence,"
            " previous_hash, hash) VALUES ($1, now(), 'flip', 'file', $2, 'live', 'root', 'move', '1', '{}', '', '')",
            entry,
            scope,
        )

    async with (
        heard(url, {"Authorization": f"Bearer {key}"}, topic="tenant") as ann,
        heard(url, bob, topic="tenant") as other,
        heard(url, admin, topic=["stage", "tenant"]) as of_root,
    ):
        await flip(1001, "tenant:t-ann")
        assert await next_of(ann) == news(("tenant", "t-ann"))
        assert await next_of(of_root) == news(("stage", "t-ann"), ("tenant", "t-ann"))
        # The default may decide for anybody.
        await flip(1002, "default")
        assert await next_of(other) == news(("tenant", None))
        assert await next_of(ann) == news(("tenant", None))
        assert await next_of(of_root) == news(("stage", None), ("tenant", None))
