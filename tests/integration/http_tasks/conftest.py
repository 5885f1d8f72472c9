"""The task API on a real database and a real server, with two tenants; no engine is configured, so every task waits."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn

from gateway.access.keys import create_key, hash_key
from gateway.app import create_app
from gateway.bootstrap import Gateway, build_gateway
from gateway.serve import LONGEST_IDLE
from gateway.settings import Settings
from gateway.storage.database import Database
from workers.testing.waiting import until

TASKS = "/api/v1/tasks"
START = datetime.now(UTC)


class World:
    """Tenants `acme` (ann) and `globex` (gus), an administrator, and their keys."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.keys: dict[str, str] = {}

    async def people(self) -> None:
        for user, tenant in (("ann", "acme"), ("gus", "globex"), ("root", None)):
            self.keys[user] = create_key()
            await self.database.execute("INSERT INTO users (id, email, name) VALUES ($1, $1, $1)", user)
            await self.database.execute(
                "INSERT INTO api_keys (id, key_hash, name, user_id) VALUES ($1, $2, $1, $1)",
                user,
                hash_key(self.keys[user]),
            )
            if tenant is not None:
                await self.database.execute(
                    "INSERT INTO tenants (id, name, owner_id) VALUES ($1, $1, $2)", tenant, user
                )
                await self.database.execute(
                    "INSERT INTO user_tenants (user_id, tenant_id, role) VALUES ($1, $2, 'owner')", user, tenant
                )
        await self.database.execute("INSERT INTO roles (id, name) VALUES ('r', 'admin')")
        await self.database.execute("INSERT INTO user_roles (user_id, role_id) VALUES ('root', 'r')")

    async def add(self, *, tenant: str = "acme", state: str | None = "queued", **columns: Any) -> str:
        """A task of the gateway's; without a state, one of before its time. `age` is its age in seconds."""
        task_id = columns.setdefault("id", str(uuid.uuid4()))
        created = START - timedelta(seconds=columns.pop("age", 60))
        values = {
            "id": task_id,
            "group_id": "g",
            "task_type": "add_episode",
            "status": "PROCESSING",
            "created_at": created,
            "payload": json.dumps({"content": "text"}),
            **columns,
        }
        names = ", ".join(values)
        places = ", ".join(f"${n}::json" if c in ("payload", "result") else f"${n}" for n, c in enumerate(values, 1))
        await self.database.execute(f"INSERT INTO task_logs ({names}) VALUES ({places})", *values.values())
        if state is None:
            return task_id
        await self.database.execute(
            "INSERT INTO taskgate.dispatch (task_id, tenant_id, group_id, task_type, state, backend, created_at, epoch)"
            " VALUES ($1, $2, 'g', $3, $4, 'temporal', $5, 1)",
            task_id,
            tenant,
            values["task_type"],
            state,
            created,
        )
        return task_id

    async def add_many(self, count: int) -> list[str]:
        """Tasks of acme, of which ten at a time are equally old; their ids, in the order of lists."""
        rows = await self.database.fetch(
            "WITH added AS ("
            " INSERT INTO task_logs (id, group_id, task_type, status, created_at, payload)"
            " SELECT gen_random_uuid(), 'g', 'probe', 'PROCESSING', "
            " $2::timestamptz - n / 10 * interval '1 s', '{}'::json"
            " FROM generate_series(1, $1) AS n RETURNING *"
            "), dispatched AS ("
            " INSERT INTO taskgate.dispatch"
            " (task_id, tenant_id, group_id, task_type, state, backend, created_at, epoch)"
            " SELECT id, 'acme', 'g', task_type, 'queued', 'temporal', created_at, 1 FROM added"
            ") SELECT id FROM added ORDER BY created_at DESC, id DESC",
            count,
            START,
        )
        return [row["id"] for row in rows]

    async def row(self, task_id: str) -> dict[str, Any]:
        """The row as it is stored."""
        record = await self.database.fetchrow("SELECT * FROM task_logs WHERE id = $1", task_id)
        assert record is not None
        return dict(record)


@pytest.fixture
async def world(database: Database) -> World:
    world = World(database)
    await world.people()
    return world


class Server:
    """The application behind a real socket."""

    def __init__(self, gateway: Gateway, url: str, server: uvicorn.Server, keys: dict[str, str]) -> None:
        self.gateway = gateway
        self.url = url
        self.uvicorn = server
        self._keys = keys

    def client(self, user: str | None = "ann") -> httpx.AsyncClient:
        headers = {} if user is None else {"Authorization": f"Bearer {self._keys[user]}"}
        limits = httpx.Limits(max_connections=None)
        return httpx.AsyncClient(base_url=self.url + TASKS, headers=headers, timeout=30, limits=limits)


@pytest.fixture
def serve(world: World) -> Callable[..., Any]:
    """Serves the API with the given settings."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Server]:
        gateway = build_gateway(Settings(database_url=world.database.url, **settings), engines={})
        # The dispatcher and its kin stay at rest: a test changes its rows itself.
        config = uvicorn.Config(
            create_app(gateway),
            port=0,
            http="httptools",
            log_config=None,
            lifespan="off",
            timeout_graceful_shutdown=10,
            timeout_keep_alive=LONGEST_IDLE,
        )
        server = uvicorn.Server(config)
        await gateway.feed.start()
        await gateway.feed.wait_listening()
        serving = asyncio.create_task(server._serve())
        try:
            await until(lambda: server.started, pause=0)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield Server(gateway, f"http://127.0.0.1:{port}", server, world.keys)
        finally:
            gateway.feed.end_streams()
            server.should_exit = True
            await serving
            await gateway.close()

    return run


@pytest.fixture
async def server(serve: Callable[..., Any]) -> AsyncIterator[Server]:
    async with serve() as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """Sends ann's key."""
    async with server.client() as client:
        yield client
