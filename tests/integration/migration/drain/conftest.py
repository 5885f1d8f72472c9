"""A drain over a real Redis and a real PostgreSQL, with tenants acme and globex."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from backends.redis_queue.engine import RedisQueueEngine
from gateway.dispatch.waiting_reason import WaitingReasons
from gateway.migration.drain.cross_check import CrossCheck
from gateway.migration.drain.oldest_remaining import OldestRemaining
from gateway.migration.drain.report import Drain
from gateway.routing.router import Router
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags, StaticOverrides
from gateway.storage.database import Database

QUIET = timedelta(hours=25)


@pytest.fixture
def redis(queue: Redis) -> Redis:
    return queue


@pytest.fixture
def engine(redis_engine: RedisQueueEngine) -> RedisQueueEngine:
    return redis_engine


@pytest.fixture
def flags() -> StaticFlags:
    """Everybody has left Redis, unless a test says otherwise."""
    return StaticFlags(Stage.COMPLETE)


@pytest_asyncio.fixture
async def people(database: Database) -> None:
    """Two tenants, and a leader that has looked for producers for a month."""
    await database.execute("INSERT INTO users (id, email, name) VALUES ('u', 'u', 'u')")
    for tenant in ("acme", "globex"):
        await database.execute("INSERT INTO tenants (id, name, owner_id, plan) VALUES ($1, $1, 'u', 'free')", tenant)
        await database.execute(
            "INSERT INTO projects (id, tenant_id, name, owner_id) VALUES ('p-' || $1, $1, $1, 'u')", tenant
        )
    await database.execute(
        "UPDATE taskgate.foreign_look SET looked_at = now(), watched_since = now() - interval '30 days'"
    )


NewDrain = Callable[..., Drain]


@pytest.fixture
def new_drain(database: Database, engine: RedisQueueEngine, flags: StaticFlags, people: None) -> NewDrain:
    def make(redis: Any = engine, temporal: Any = None) -> Drain:
        router = Router(flags, StaticOverrides(), configured=frozenset({"redis", "temporal"}))
        engines = {} if redis is None else {"redis": redis}
        slowest = OldestRemaining(database, WaitingReasons(database, router, engines))
        return Drain(database, redis, router, slowest, CrossCheck(database, temporal), quiet=QUIET)

    return make


@pytest.fixture
def drain(new_drain: NewDrain) -> Drain:
    return new_drain()


NewTask = Callable[..., Awaitable[None]]


@pytest.fixture
def add(database: Database) -> NewTask:
    """A task of acme's with its rows; columns of `taskgate.dispatch` as expressions of SQL."""

    async def add(task_id: str, **columns: str) -> None:
        await database.execute(
            "INSERT INTO task_logs (id, group_id, task_type, status, payload, created_at, completed_at)"
            f" VALUES ($1, 'p-acme', 'probe', 'PROCESSING', E'\\t{{}}', now(), {columns.get('finished_at', 'NULL')})",
            task_id,
        )
        values = {"tenant_id": "'acme'", "group_id": "'p-acme'", "task_type": "'probe'", "state": "'queued'", **columns}
        if "backend" not in values and values["state"] != "'waiting'":
            values["backend"] = "'redis'"
        await database.execute(
            f"INSERT INTO taskgate.dispatch (task_id, {', '.join(values)}) VALUES ($1, {', '.join(values.values())})",
            task_id,
        )

    return add


@pytest.fixture
def payload() -> Callable[..., str]:
    """What a legacy producer pushes."""

    def make(group: str = "p-acme", **more: Any) -> str:
        return json.dumps({"task_type": "add_episode", "task_id": "t", "timestamp": 1.5, "group_id": group, **more})

    return make
