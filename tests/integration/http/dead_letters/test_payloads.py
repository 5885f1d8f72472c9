"""What is set aside in Redis: moved to where people look, shown to those it may belong to, corrected and run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from backends.memory.engine import MemoryEngine
from backends.port import WorkflowEnginePort
from backends.redis_queue import wire
from backends.redis_queue.dead import entry
from backends.redis_queue.engine import RedisQueueEngine
from gateway.app import create_app
from gateway.bootstrap import Gateway, build_gateway
from gateway.routing.flags import FlagSource
from gateway.settings import Settings
from gateway.tasks.redaction import MARK

API = "/gateway/v1/dead-letters"


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_server) as client:
        await client.delete(wire.DEAD)
        yield client


@pytest.fixture
async def temporal() -> MemoryEngine:
    return MemoryEngine(name="temporal")


@pytest.fixture
async def gateway(database: Any, redis: Redis, redis_server: str, temporal: MemoryEngine) -> AsyncIterator[Gateway]:
    """Its loops do not run."""
    engines: dict[str, WorkflowEnginePort] = {"redis": RedisQueueEngine(redis_server, timeout=5), "temporal": temporal}
    gateway = build_gateway(Settings(database_url=database.url, max_body_bytes=10_000), engines=engines)
    yield gateway
    await gateway.close()


@pytest.fixture
async def client(gateway: Gateway, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """Ann's."""
    transport = httpx.ASGITransport(create_app(gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


@pytest.fixture
def collect(redis: Redis, gateway: Gateway, database: Any) -> Any:
    """Puts payloads into the dead list and moves them; the ids of their dead letters, in this order."""

    async def run(*payloads: bytes, group: bytes = b"p-ann", reason: str = "not JSON", size: int | None = None) -> Any:
        known = {row["id"] for row in await database.fetch("SELECT id FROM taskgate.dead_letter")}
        for payload in payloads:
            await redis.rpush(wire.DEAD, entry(reason, group, payload, len(payload) if size is None else size))
        assert await gateway.collector.collect() == len(payloads)
        assert await redis.llen(wire.DEAD) == 0
        rows = await database.fetch("SELECT id FROM taskgate.dead_letter ORDER BY died_at")
        return [row["id"] for row in rows if row["id"] not in known]

    return run


def task(**more: Any) -> dict[str, Any]:
    return {"task_type": "probe", "task_id": "one", "timestamp": 1.5, "group_id": "p-ann", **more}


def encoded(**more: Any) -> bytes:
    return json.dumps(task(**more)).encode()


async def test_whose_they_are(client, collect, admin, bob) -> None:
    by_group = (await collect(b"no json"))[0]
    by_name, by_project = await collect(encoded(tenant_id="t-bob"), encoded(project_id="p-bob"), group=b"p-ann")
    (nobodys,) = await collect(b"\xff\x00", group=b"g\xff\x00")
    (unknown,) = await collect(encoded(tenant_id="t-none"), group=b"none")

    async def ids(headers: Any = None) -> set[str]:
        answer = await client.get(API, params={"kind": "payload"}, headers=headers)
        return {letter["id"] for letter in answer.json()["dead_letters"]}

    assert await ids() == {by_group}
    assert await ids(bob) == {by_name, by_project}
    assert await ids(admin) == {by_group, by_name, by_project, nobodys, unknown}
    for letter in (by_name, nobodys, unknown):
        assert (await client.get(f"{API}/{letter}")).status_code == 404
        assert (await client.post(f"{API}/{letter}/redrive")).status_code == 404


async def test_what_is_shown_of_them(client, collect) -> None:
    (text,) = await collect(b'{"password": "hunter2", "api_key": \'k\', token=abc, "a": 1', reason="not JSON")
    letter = (await client.get(f"{API}/{text}")).json()
    assert letter["payload"] == f'{{"password": {MARK}, "api_key": {MARK}, token={MARK}, "a": 1'
    assert {name: letter[name] for name in ("kind", "reason", "error", "backend", "group_id", "bytes", "task_id")} == {
        "kind": "payload",
        "reason": "not_a_task",
        "error": "not JSON",
        "backend": "redis",
        "group_id": "p-ann",
        "bytes": 57,
        "task_id": None,
    }
    (whole,) = await collect(encoded(secret="s", name="n", task_type=7), reason="task_type is not a string")
    shown = (await client.get(f"{API}/{whole}")).json()
    assert (shown["payload"]["secret"], shown["payload"]["name"], shown["payload_is_cut"]) == (MARK, "n", False)
    (cut,) = await collect(b'{"a": "' + b"x" * 100_000, size=500_000_000)
    shown = (await client.get(f"{API}/{cut}")).json()
    assert (shown["payload_is_cut"], shown["bytes"]) == (True, 500_000_000)


async def test_entries_that_somebody_else_wrote(redis, gateway, client, admin) -> None:
    entries = [b"{}", b"\xff", b"[1]", b'{"reason": 1, "group": 2, "payload": "!", "bytes": "x", "at": 1e300}', b"null"]
    await redis.rpush(wire.DEAD, *entries)
    assert await gateway.collector.collect() == len(entries)
    answer = await client.get(API, headers=admin)
    assert len(answer.json()["dead_letters"]) == len(entries)
    for letter in answer.json()["dead_letters"]:
        assert (await client.get(f"{API}/{letter['id']}", headers=admin)).status_code == 200


async def test_an_entry_that_is_moved_twice_is_one(redis, gateway, database) -> None:
    """A gateway dies between the two steps, and two gateways move at once."""
    raw = entry("not JSON", b"g", b"x", 1)
    for _ in range(2):
        await redis.rpush(wire.DEAD, raw)
        await asyncio.gather(gateway.collector.collect(), gateway.collector.collect())
    assert await redis.llen(wire.DEAD) == 0
    assert await database.fetchval("SELECT count(*) FROM taskgate.dead_letter") == 1


async def test_as_it_is_it_still_is_no_task(client, collect) -> None:
    (letter,) = await collect(b"no json")
    answer = await client.post(f"{API}/{letter}/redrive")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:taskgate:error:redrive_blocked")
    assert "not JSON" in answer.json()["detail"]


async def test_corrected_it_is_a_task_once(client, collect, database) -> None:
    (letter,) = await collect(encoded(task_type=7, content="x"), reason="task_type is not a string")
    edit = {"edit": {"patch": {"task_type": "probe"}}}
    answers = await asyncio.gather(*(client.post(f"{API}/{letter}/redrive", json=edit) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
    row = await database.fetchrow(
        "SELECT t.payload::text, d.task_id, d.tenant_id, d.group_id, d.task_type, d.state FROM taskgate.dispatch d"
        " JOIN task_logs t ON t.id = d.task_id"
    )
    assert tuple(row)[1:] == ("one", "t-ann", "p-ann", "probe", "waiting")
    assert json.loads(row["payload"])["content"] == "x"
    closed = (await client.get(f"{API}/{letter}")).json()
    assert (closed["state"], closed["closed_by"], closed["task_id"]) == ("redriven", "ann", "one")


async def test_its_tenants_plan_says_where_it_goes(
    gateway: Gateway, temporal: MemoryEngine, client, bob, collect, database, enterprise_is_live: FlagSource
) -> None:
    gateway.router._flags, gateway.router._entries = enterprise_is_live, None
    anns, anns_other = await collect(encoded(task_type="add_episode"), encoded(task_type="add_episode", task_id="two"))
    (bobs,) = await collect(encoded(task_type="add_episode", task_id="bobs", group_id="p-bob"), group=b"p-bob")
    assert (await client.post(f"{API}/{anns}/redrive")).status_code == 202
    answer = await client.post(f"{API}/{anns_other}/redrive", json={"backend": "temporal"})
    assert answer.status_code == 202, answer.text
    answer = await client.post(f"{API}/{bobs}/redrive", json={"backend": "temporal"}, headers=bob)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:taskgate:error:backend_not_allowed")
    while await gateway.dispatcher.sweep():
        pass
    await gateway.dispatcher.close()
    assert {start.ref.task_id: start.queue for start in temporal.starts} == {
        "one": "tenant-t-ann-add_episode",
        "two": "tenant-t-ann-add_episode",
    }
    rows = await database.fetch("SELECT task_id, backend, stage FROM taskgate.dispatch")
    assert {tuple(row) for row in rows} == {("one", "temporal", "live"), ("two", "temporal", "live")}


async def test_an_id_that_is_taken_makes_way(client, collect, fail_task) -> None:
    await fail_task(task_id="one", tenant_id="t-bob")
    (letter,) = await collect(encoded(), reason="its task_id belongs to another tenant")
    answer = await client.post(f"{API}/{letter}/redrive")
    assert answer.status_code == 202
    assert answer.json()["task_id"] != "one"


async def test_what_a_corrected_payload_may_not_say(client, collect, database) -> None:
    (letter,) = await collect(encoded(task_type=7, filler="y" * 500))
    for edit, status in (
        ({"patch": {"task_type": 8}}, 422),
        ({"payload": {"note": 1}}, 422),
        ({"patch": {"task_type": "probe", "note": MARK}}, 422),
        ({"patch": {"task_type": "probe", "tenant_id": "t-bob"}}, 403),
        ({"patch": {"task_type": "probe", "project_id": "p-bob"}}, 403),
        ({"patch": {"task_type": "deduplicate_entities", "group_id": "p-bob"}}, 403),
        ({"patch": {"task_type": "rebuild_communities", "task_group_id": "global"}}, 403),
        ({"patch": {"task_type": "deduplicate_entities", "group_ids": ["p-ann", "p-bob"]}}, 403),
        ({"patch": {"task_type": "probe", "text": "x" * 9_800}}, 422),
    ):
        answer = await client.post(f"{API}/{letter}/redrive", json={"edit": edit})
        assert answer.status_code == status, (edit, answer.text)
    (cut,) = await collect(b'{"a": ', size=10**9)
    assert (await client.post(f"{API}/{cut}/redrive", json={"edit": {"patch": {}}})).status_code == 409
    (odd,) = await collect(encoded(text="\ud800"))
    assert (await client.post(f"{API}/{odd}/redrive")).status_code == 409
    answer = await client.post(f"{API}/{odd}/redrive", json={"backend": "temporal", "edit": {"payload": task()}})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:taskgate:error:backend_not_allowed")
    assert await database.fetchval("SELECT count(*) FROM task_logs") == 0


async def test_a_corrected_payload_stays_its_callers_and_its_own_users(client, people, collect, admin, task_of) -> None:
    names = {"task_type": "probe", "user_id": "bob"}
    (anns,) = await collect(encoded(task_type=7))
    (bobs,) = await collect(encoded(task_type=7, task_id="two", user_id="bob"))
    answer = await client.post(f"{API}/{anns}/redrive", json={"edit": {"patch": names}})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:taskgate:error:forbidden")
    for user in ("root", 7, "  ", ["bob"]):
        edit = {"patch": {**names, "user_id": user}}
        answer = await client.post(f"{API}/{bobs}/redrive", json={"edit": edit})
        assert answer.status_code == 403, user
    # The one that it was found with, the caller, or nobody; administrators may name anybody.
    for letter, edit, headers, user in (
        (bobs, {"task_type": "probe"}, None, "bob"),
        (anns, names, admin, "bob"),
        (
            *await collect(encoded(task_type=7, task_id="three", user_id="bob")),
            {**names, "user_id": "ann"},
            None,
            "ann",
        ),
        (*await collect(encoded(task_type=7, task_id="four", user_id="bob")), {**names, "user_id": None}, None, None),
    ):
        answer = await client.post(f"{API}/{letter}/redrive", json={"edit": {"patch": edit}}, headers=headers)
        assert answer.status_code == 202, answer.text
        assert (await task_of(answer.json()["task_id"]))["user_id"] == user


async def test_a_corrected_payload_marks_memories_of_its_project_alone(client, database, collect, admin) -> None:
    for name in ("ann", "bob"):
        await database.execute(
            "INSERT INTO memories (id, project_id, title, content, author_id) VALUES ($1, $2, 'T', 'C', $3)",
            *(f"m-{name}", f"p-{name}", name),
        )
    within = encoded(task_type=7, project_id="p-ann")
    (letter,) = await collect(within)
    for memory in ("m-bob", "nothing", 7, ["m-bob"]):
        for headers in (None, admin):
            edit = {"patch": {"task_type": "add_episode", "memory_id": memory}}
            answer = await client.post(f"{API}/{letter}/redrive", json={"edit": edit}, headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:taskgate:error:forbidden"), memory
    edit = {"patch": {"task_type": "add_episode", "memory_id": "m-ann"}}
    assert (await client.post(f"{API}/{letter}/redrive", json={"edit": edit})).status_code == 202
    # What it was found with stays, as with any other dead letter.
    (found,) = await collect(encoded(task_type=7, task_id="two", memory_id="m-old"))
    answer = await client.post(f"{API}/{found}/redrive", json={"edit": {"patch": {"task_type": "probe"}}})
    assert answer.status_code == 202


async def test_a_corrected_payload_goes_to_no_project_where_the_caller_may_only_read(
    client, people, bob, collect
) -> None:
    await people.add_member("bob", "t-ann", "member")
    await people.add_project("p-read", "t-ann", "ann")
    await people.add_project_member("bob", "p-read", "viewer")
    (letter,) = await collect(encoded(task_type=7))
    edit = {"patch": {"task_type": "probe", "project_id": "p-read"}}
    answer = await client.post(f"{API}/{letter}/redrive", json={"edit": edit}, headers=bob)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:taskgate:error:forbidden")
    edit = {"patch": {"task_type": "probe"}}
    assert (await client.post(f"{API}/{letter}/redrive", json={"edit": edit}, headers=bob)).status_code == 202


async def test_while_redis_is_away_nothing_happens(database) -> None:
    from backends.errors import EngineUnavailable

    engine = RedisQueueEngine("redis://127.0.0.1:1/0", timeout=1)
    gateway = build_gateway(Settings(database_url=database.url), engines={"redis": engine})
    with pytest.raises(EngineUnavailable):
        await gateway.collector.collect()
    await gateway.close()
