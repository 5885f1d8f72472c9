"""A bridge between a real Redis and a real PostgreSQL, with producers that know nothing of it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio

from backends.redis_queue.engine import RedisQueueEngine
from backends.redis_queue.ingress import Ingress
from gateway.ingress.bridge import Bridge
from gateway.routing.query import Scope
from gateway.routing.router import Router
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags, StaticOverrides
from gateway.storage.database import Database


class Producer:
    """Pushes as MemStack does (contract §5), and looks at what became of it."""

    def __init__(self, queue: redis.asyncio.Redis) -> None:
        self.queue = queue

    async def push(self, group: str = "p-moved", **more: Any) -> dict[str, Any]:
        """A payload of `add_episode`; keys given as None are left out."""
        payload = {
            "task_type": "add_episode",
            "task_id": f"t-{secrets.token_hex(6)}",
            "timestamp": time.time(),
            "group_id": group,
            "name": "n",
            "content": "Zoë met Ada.",
            "tenant_id": "moved",
            "project_id": group,
            "user_id": "u1",
            **more,
        }
        payload = {name: value for name, value in payload.items() if value is not None}
        await self.push_raw(group, json.dumps(payload).encode())
        return payload

    async def push_raw(self, group: str | bytes, raw: bytes) -> None:
        group = group.encode() if isinstance(group, str) else group
        await self.queue.sadd("queue:active_groups", group)
        await self.queue.rpush(b"queue:group:" + group, raw)

    async def waiting(self, group: str = "p-moved") -> list[str]:
        """Ids of the tasks in a group's list."""
        return [json.loads(raw)["task_id"] for raw in await self.queue.lrange(f"queue:group:{group}", 0, -1)]

    async def dead(self) -> list[str]:
        """The reasons in the dead list."""
        return [json.loads(raw)["reason"] for raw in await self.queue.lrange("taskgate:dead", 0, -1)]

    async def kept(self) -> int:
        """Payloads in the gateway's keeping."""
        return int(await self.queue.hlen("taskgate:taken"))


class Tasks:
    """What PostgreSQL has."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def row(self, task_id: str) -> dict[str, Any]:
        row = await self.database.fetchrow("SELECT * FROM task_logs WHERE id = $1", task_id)
        assert row is not None
        return {**row, "payload": None if row["payload"] is None else json.loads(row["payload"])}

    async def dispatch(self, task_id: str) -> dict[str, Any]:
        row = await self.database.fetchrow("SELECT * FROM taskgate.dispatch WHERE task_id = $1", task_id)
        assert row is not None
        return dict(row)

    async def adopted(self) -> list[str]:
        """Ids of all tasks in the gateway's care."""
        return [row["task_id"] for row in await self.database.fetch("SELECT task_id FROM taskgate.dispatch")]

    async def insert(self, task_id: str, **columns: Any) -> None:
        values = {"id": task_id, "group_id": "p-moved", "task_type": "add_episode", "status": "PENDING", **columns}
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self.database.execute(f"INSERT INTO task_logs ({', '.join(values)}) VALUES ({places})", *values.values())


class Changes:
    """Notes what is announced."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.wakes = 0

    def changed(self, task_id: str) -> None:
        self.ids.append(task_id)

    def wake(self) -> None:
        self.wakes += 1


@pytest_asyncio.fixture
async def producer(redis_server: str) -> AsyncIterator[Producer]:
    async with redis.asyncio.from_url(redis_server) as queue:
        await queue.flushall()
        yield Producer(queue)
        await queue.flushall()


@pytest_asyncio.fixture
async def tasks(database: Database) -> Tasks:
    """Tenants `moved` (project p-moved), who is on Temporal, and `staying` (p-staying)."""
    await database.execute("INSERT INTO users (id, email, name) VALUES ('u1', 'u1', 'u1')")
    for tenant in ("moved", "staying"):
        await database.execute("INSERT INTO tenants (id, name, owner_id) VALUES ($1, $1, 'u1')", tenant)
        await database.execute(
            "INSERT INTO projects (id, tenant_id, name, owner_id) VALUES ($1, $2, $1, 'u1')", f"p-{tenant}", tenant
        )
    return Tasks(database)


@pytest_asyncio.fixture
async def ingress(redis_server: str) -> AsyncIterator[Ingress]:
    engine = RedisQueueEngine(redis_server, timeout=5)
    yield engine.ingress
    await engine.close()


@pytest.fixture
def flags() -> StaticFlags:
    flags = StaticFlags()
    flags.put(Scope(tenant_id="moved"), Stage.LIVE)
    return flags


@pytest.fixture
def changes() -> Changes:
    return Changes()


NewBridge = Callable[..., Bridge]


@pytest.fixture
def new_bridge(
    database: Database, ingress: Ingress, flags: StaticFlags, changes: Changes, producer: Producer, tasks: Tasks
) -> NewBridge:
    """A gateway's bridge; without the grace for rows, unless a test wants it."""

    def make(**more: Any) -> Bridge:
        values = {
            "database": database,
            "ingress": ingress,
            "enabled": True,
            "row_grace": 0,
            "configured": frozenset({"redis", "temporal"}),
            **more,
        }
        router = Router(flags, StaticOverrides(), configured=values.pop("configured"))
        return Bridge(
            values.pop("database"),
            values.pop("ingress"),
            router,
            changes,
            max_attempts=3,
            wake=changes.wake,
            **values,
        )

    return make


@pytest.fixture
def bridge(new_bridge: NewBridge) -> Bridge:
    return new_bridge()
