"""The HTTP face on a real database: tenants, users, keys and projects, and an application without engines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from typer.testing import CliRunner

from backends.port import WorkflowEnginePort
from gateway.access.keys import create_key, hash_key
from gateway.app import create_app
from gateway.bootstrap import Gateway, build_gateway
from gateway.cli.main import app as command_line
from gateway.serve import LONGEST_IDLE, Server, http_config
from gateway.settings import Settings
from gateway.storage.database import Database
from workers.testing.waiting import until


class People:
    """Writes the rows of contract §1. Every `add_…` returns what was added, by its id."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add_user(self, user_id: str, *, admin: bool = False, **columns: Any) -> str:
        """A user with one key, which is returned."""
        active = columns.get("is_active", True)
        await self._db.execute(
            "INSERT INTO users (id, email, name, is_active) VALUES ($1, $1, $1, $2)", user_id, active
        )
        if admin:
            await self._db.execute("INSERT INTO roles (id, name) VALUES ('r1', 'admin') ON CONFLICT DO NOTHING")
            await self._db.execute("INSERT INTO user_roles (user_id, role_id) VALUES ($1, 'r1')", user_id)
        return await self.add_key(user_id)

    async def add_key(self, user_id: str, **columns: Any) -> str:
        key = create_key()
        await self._db.execute(
            "INSERT INTO api_keys (id, key_hash, name, user_id, is_active, expires_at)"
            " VALUES ($1, $1, 'test', $2, $3, now() + make_interval(secs => $4))",
            hash_key(key),
            user_id,
            columns.get("is_active", True),
            columns.get("expires_in"),
        )
        return key

    async def add_tenant(self, tenant_id: str, owner_id: str, plan: str = "free") -> str:
        await self._db.execute(
            "INSERT INTO tenants (id, name, owner_id, plan) VALUES ($1, $1, $2, $3)", tenant_id, owner_id, plan
        )
        return tenant_id

    async def add_member(self, user_id: str, tenant_id: str, role: str = "member") -> None:
        await self._db.execute(
            "INSERT INTO user_tenants (user_id, tenant_id, role) VALUES ($1, $2, $3)", user_id, tenant_id, role
        )

    async def add_project(self, project_id: str, tenant_id: str, owner_id: str, **columns: Any) -> str:
        await self._db.execute(
            "INSERT INTO projects (id, tenant_id, name, owner_id, is_public) VALUES ($1, $2, $1, $3, $4)",
            project_id,
            tenant_id,
            owner_id,
            columns.get("is_public", False),
        )
        return project_id

    async def add_project_member(self, user_id: str, project_id: str, role: str = "member") -> None:
        await self._db.execute(
            "INSERT INTO user_projects (user_id, project_id, role) VALUES ($1, $2, $3)", user_id, project_id, role
        )


@pytest.fixture
def people(database: Database) -> People:
    return People(database)


@pytest.fixture
async def key(people: People) -> str:
    """The key of ann, who owns tenant t-ann (enterprise) with project p-ann; bob's tenant t-bob has project p-bob."""
    for name, plan in (("ann", "enterprise"), ("bob", "free")):
        key = await people.add_user(name)
        await people.add_tenant(f"t-{name}", name, plan)
        await people.add_member(name, f"t-{name}", "owner")
        await people.add_project(f"p-{name}", f"t-{name}", name)
        await people.add_project_member(name, f"p-{name}", "owner")
        if name == "ann":
            anns = key
    return anns


@pytest.fixture
async def admin(people: People, key: str) -> dict[str, str]:
    """Headers of an administrator, the user root."""
    return {"Authorization": f"Bearer {await people.add_user('root', admin=True)}"}


@pytest.fixture
async def bob(people: People, key: str) -> dict[str, str]:
    """Headers of bob."""
    return {"Authorization": f"Bearer {await people.add_key('bob')}"}


Serve = Callable[..., Any]


@pytest.fixture
def serve(database: Database) -> Serve:
    """Opens a client of an application whose settings are given; without engines every task waits."""

    @asynccontextmanager
    async def open_client(
        engines: Mapping[str, WorkflowEnginePort] | None = None, **settings: Any
    ) -> AsyncIterator[tuple[httpx.AsyncClient, Gateway]]:
        gateway = build_gateway(Settings(database_url=database.url, **settings), engines=engines or {})
        app = create_app(gateway)
        await gateway.feed.start()
        try:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
                yield client, gateway
        finally:
            await gateway.close()

    return open_client


@pytest.fixture
def serve_http() -> Callable[..., Any]:
    """Serves a gateway on a free port, as `taskgate serve` does: its port. The gateway itself stays at rest."""

    @asynccontextmanager
    async def serve(gateway: Gateway) -> AsyncIterator[int]:
        await gateway.feed.start()
        config = http_config(gateway)
        config.port, config.lifespan = 0, "off"
        server = Server(config, gateway)
        serving = asyncio.create_task(server._serve())
        try:
            await until(lambda: server.started, pause=0)
            assert not server.failed, "another server has the gRPC port: this gateway wants grpc_enabled=False"
            yield server.servers[0].sockets[0].getsockname()[1]
        finally:
            server.should_exit = True
            await serving
            await gateway.close()

    return serve


@pytest.fixture
async def client(serve: Serve, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client that sends ann's key."""
    async with serve() as (client, _):
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


@pytest.fixture
def task_of(database: Database) -> Callable[[str], Awaitable[dict[str, Any]]]:
    """Both rows of a task, with the payload parsed."""

    async def read(task_id: str) -> dict[str, Any]:
        row = await database.fetchrow(
            "SELECT t.*, d.tenant_id, d.project_id, d.user_id, d.state, d.priority, d.not_before"
            " FROM task_logs t JOIN taskgate.dispatch d ON d.task_id = t.id WHERE t.id = $1",
            task_id,
        )
        assert row is not None
        return {**row, "payload": json.loads(row["payload"])}

    return read


@pytest.fixture
def count(database: Database) -> Callable[..., Awaitable[int]]:
    """How many rows a table has: `task_logs`, unless another is named."""

    async def rows(table: str = "task_logs") -> int:
        number: int = await database.fetchval(f"SELECT count(*) FROM {table}")
        return number

    return rows


@pytest.fixture
async def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    """Runs `taskgate …` against a gateway on a real port, without engines: exit code and output."""
    gateway = build_gateway(Settings(database_url=database_url), engines={})
    config = uvicorn.Config(
        create_app(gateway), port=0, log_config=None, lifespan="off", timeout_keep_alive=LONGEST_IDLE
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    serving = asyncio.create_task(server.main_loop())
    monkeypatch.setenv("TASKGATE_URL", f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")

    async def run(*arguments: str) -> tuple[int, str]:
        result = await asyncio.to_thread(CliRunner().invoke, command_line, list(arguments))
        return result.exit_code, result.output

    yield run
    server.should_exit = True
    await serving
    await server.shutdown()
    await gateway.close()
