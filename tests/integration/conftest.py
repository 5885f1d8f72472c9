"""What several folders need: tasks and workers as rows, without engines, and Redis behind a proxy."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from backends.redis_queue.engine import RedisQueueEngine
from gateway.access.keys import create_key, hash_key
from gateway.routing.flag_edit import new_flag
from gateway.routing.flags import FlagSource
from gateway.routing.stages import Stage
from gateway.storage.database import Database
from gateway.tasks.lifecycle.transitions import Transitions
from workers.testing.proxy import FaultyProxy


@pytest_asyncio.fixture
async def redis_engine(queue: Redis, redis_server: str) -> AsyncIterator[RedisQueueEngine]:
    engine = RedisQueueEngine(redis_server, timeout=5)
    yield engine
    await engine.close()


@pytest_asyncio.fixture
async def redis_proxy(redis_server: str) -> AsyncIterator[FaultyProxy]:
    """Stands before Redis."""
    address = urlsplit(redis_server)
    proxy = FaultyProxy(address.hostname or "", address.port or 0)
    await proxy.open()
    yield proxy
    await proxy.close()


async def key_of(database: Database, user_id: str, *, admin: bool = False) -> str:
    """An API key of a new user, who is in no tenant."""
    key = create_key()
    await database.execute("INSERT INTO users (id, email, name) VALUES ($1, $1, $1)", user_id)
    await database.execute(
        "INSERT INTO api_keys (id, key_hash, name, user_id) VALUES ($1, $1, 'test', $2)", hash_key(key), user_id
    )
    if admin:
        await database.execute("INSERT INTO roles (id, name) VALUES ('r1', 'admin') ON CONFLICT DO NOTHING")
        await database.execute("INSERT INTO user_roles (user_id, role_id) VALUES ($1, 'r1')", user_id)
    return key


@pytest_asyncio.fixture(params=["tier", "plan"])
async def enterprise_is_live(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FlagSource]:
    """A flag with a rule: tenants of the tier, or plan, `enterprise` are at stage live, all others at off."""
    clause = {"contextKind": "tenant", "attribute": request.param, "op": "in", "values": ["enterprise"]}
    live = list(Stage).index(Stage.LIVE)
    flag = new_flag("task-backend") | {"rules": [{"id": "enterprise", "variation": live, "clauses": [clause]}]}
    file = tmp_path / "flags.json"
    file.write_text(json.dumps({"flags": {"task-backend": flag}}))
    source = FlagSource(file=file)
    await source.start()
    yield source
    await source.close()


class Changes:
    """Notes what would be announced."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def changed(self, task_id: str) -> None:
        self.ids.append(task_id)


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
def transitions(database: Database, changes: Changes) -> Transitions:
    return Transitions(database, changes)


NewTaskRow = Callable[..., Awaitable[str]]


@pytest.fixture
def new_task(database: Database) -> NewTaskRow:
    """A reserved row with its dispatch row."""

    async def create(**columns: Any) -> str:
        task_id = columns.pop("task_id", secrets.token_hex(8))
        payload = columns.pop("payload", {"content": "x"})
        await database.execute(
            "INSERT INTO task_logs (id, group_id, task_type, status, payload, progress, retry_count)"
            " VALUES ($1, 'g', 'probe', 'PROCESSING', $2::json, 0, 0)",
            task_id,
            json.dumps({**payload, "task_id": task_id, "task_type": "probe", "timestamp": 1.5}),
        )
        values = {"state": "queued", "backend": "redis", "epoch": 1, **columns}
        names = ", ".join(values)
        places = ", ".join(f"${i}" for i in range(2, len(values) + 2))
        await database.execute(
            f"INSERT INTO taskgate.dispatch (task_id, group_id, task_type, {names})"
            f" VALUES ($1, 'g', 'probe', {places})",
            task_id,
            *values.values(),
        )
        return task_id

    return create


@pytest.fixture
def new_worker(database: Database) -> Callable[..., Awaitable[str]]:
    """A process that is registered and not lost."""

    async def create(process_id: str = "w1", **columns: Any) -> str:
        values = {"kind": "worker", "host": "elsewhere", "pid": 1, "version": "0", "lock_key": 7, **columns}
        names = ", ".join(values)
        places = ", ".join(f"${i}" for i in range(2, len(values) + 2))
        await database.execute(
            f"INSERT INTO taskgate.process (process_id, {names}) VALUES ($1, {places})", process_id, *values.values()
        )
        return process_id

    return create


@pytest.fixture
def log_row(database: Database) -> Callable[[str], Awaitable[dict[str, Any]]]:
    async def read(task_id: str) -> dict[str, Any]:
        row = await database.fetchrow("SELECT * FROM task_logs WHERE id = $1", task_id)
        assert row is not None
        return dict(row)

    return read
