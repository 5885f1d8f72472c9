"""A secret whose file changes is used by the next connection, with no restart."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import asyncpg
import pytest
import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from backends.errors import EngineUnavailable
from backends.redis_queue import wire
from backends.redis_queue.engine import RedisQueueEngine
from backends.redis_queue.link import Link
from gateway.engines import build_engines
from gateway.errors import DatabaseUnavailable
from gateway.recovery.lease import Lease, ProcessIdentity
from gateway.routing.flag_edit import new_flag, with_stage
from gateway.routing.flags import FlagSource
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.stages import Stage
from gateway.secret_files import SecretFile
from gateway.settings import Settings, read_settings
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from tests.integration.routing.conftest import LaunchDarklyServer, connected
from workers.graph.graphiti_client import build_graphiti
from workers.redis_queue.wake_listener import WakeListener
from workers.testing.waiting import eventually, until

END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()
"""
HELD = """
SELECT count(*) FROM pg_locks l JOIN taskgate.process p ON l.objid = p.lock_key::oid
WHERE l.locktype = 'advisory' AND l.granted AND p.lost_at IS NULL
"""


def by_file(monkeypatch: pytest.MonkeyPatch, name: str, path: Path) -> Settings:
    monkeypatch.delenv(f"TASKGATE_{name}", raising=False)
    monkeypatch.setenv(f"TASKGATE_{name}_FILE", str(path))
    return read_settings()


def write(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text + "\n")
    path.with_suffix(".new").replace(path)


async def test_postgresql(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    role, file = f"role_{secrets.token_hex(4)}", tmp_path / "database"
    write(file, database_url)
    database = Database(by_file(monkeypatch, "DATABASE_URL", file).follow("database_url"))
    admin = await asyncpg.connect(database_url)
    await admin.execute(f"CREATE ROLE {role} LOGIN")
    try:
        assert await database.fetchval("SELECT current_user") == "postgres"
        write(file, database_url.replace("postgres@", f"{role}@", 1))
        async with database.acquire() as first, database.acquire() as second:
            users = [await each.fetchval("SELECT current_user") for each in (first, second)]
        assert users == ["postgres", role], "an open connection stays, the next one is the new user's"
        apart = await database.connect()
        assert await apart.fetchval("SELECT current_user") == role
        await apart.close()
    finally:
        await database.close()
        await admin.execute(f"DROP ROLE {role}")
        await admin.close()


async def test_redis(queue: Redis, redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "redis"
    for user in ("first", "second"):
        await queue.execute_command("ACL", "SETUSER", user, "on", f">{user}-word", "~*", "&*", "+@all")
    try:
        write(file, redis_server.replace("redis://", "redis://first:first-word@"))
        settings = by_file(monkeypatch, "REDIS_URL", file)
        link = Link(settings.follow("redis_url"), timeout=5)
        engine = build_engines(settings)["redis"]
        assert isinstance(engine, RedisQueueEngine)
        await engine.check_health()
        assert await link.call("ACL", "WHOAMI") == b"first"
        held = await link.connection()
        write(file, redis_server.replace("redis://", "redis://second:second-word@"))
        assert await link.call("ACL", "WHOAMI") == b"second"
        await link.release(held)
        await queue.execute_command("ACL", "DELUSER", "first")
        await engine.check_health()
        listed = await queue.client_list()
        assert {each["user"] for each in listed if each["user"] != "default"} == {"second"}
        write(file, redis_server.replace("redis://", "redis://second:wrong-word@"))
        with pytest.raises(EngineUnavailable):
            await link.call("PING")
        await link.close()
        await engine.close()
    finally:
        await queue.execute_command("ACL", "DELUSER", "first", "second")


class Unsound:
    """An address that is not whole for a while, as in a file that was written half."""

    def __init__(self, sound: str, unsound: str | None) -> None:
        self.sound = sound
        self.unsound = unsound
        self.is_sound = True
        self.asked = 0
        """While it was not."""

    def __call__(self) -> str:
        if self.is_sound:
            return self.sound
        self.asked += 1
        if self.unsound is None:
            raise KeyError("unforeseen")
        return self.unsound


async def test_a_redis_address_that_cannot_be_taken_apart_is_a_redis_that_is_away(
    queue: Redis, redis_server: str
) -> None:
    address = Unsound(redis_server, "redis://:hush/cd@h:6379/0")
    link = Link(address, timeout=5)
    try:
        assert await link.call("PING") == b"PONG"
        address.is_sound = False
        for _ in range(2):
            with pytest.raises(EngineUnavailable) as raised:
                await link.call("PING")
            assert "hush" not in raised.value.message
        address.is_sound = True
        assert await link.call("PING") == b"PONG"
    finally:
        await link.close()


async def test_wake_ups_of_redis_go_on_after_such_an_address(queue: Redis, redis_server: str) -> None:
    address = Unsound(redis_server, "redis://:hush/cd@h:6379/0")
    address.is_sound = False
    wakes = WakeListener(address, timeout=5)
    listening = asyncio.create_task(wakes.listen())
    try:
        await until(lambda: address.asked > 1)
        address.is_sound = True
        await eventually(lambda: queue.publish(wire.WAKE, "1"))
        async with asyncio.timeout(5):
            await wakes.wait(5)
    finally:
        listening.cancel()


#: What cannot be taken apart, and what nobody foresaw.
DATABASES = pytest.mark.parametrize("unsound", ["postgresql://u:hush/cd@h:5432/db", None], ids=["malformed", "other"])


async def test_a_database_address_that_cannot_be_taken_apart_is_a_database_that_is_away(database_url: str) -> None:
    address = Unsound(database_url, "postgresql://u:hush/cd@h:5432/db")
    address.is_sound = False
    database = Database(address)
    try:
        with pytest.raises(DatabaseUnavailable) as raised:
            await database.fetchval("SELECT 1")
        assert "hush" not in str(raised.value.__cause__)
        address.is_sound = True
        assert await database.fetchval("SELECT 1") == 1
    finally:
        await database.close()


@DATABASES
async def test_a_lease_is_held_again_after_such_an_address(
    unsound: str | None, database: Database, database_url: str
) -> None:
    address = Unsound(database_url, unsound)
    lease = Lease(address, ProcessIdentity("worker", "0", backend="redis", slots=1), limit=15)
    await lease.start()
    try:
        address.is_sound = False
        await database.execute(END, "taskgate lease")
        await until(lambda: address.asked > 1)
        address.is_sound = True
        assert await eventually(lambda: database.fetchval(HELD))
    finally:
        await lease.close()


@DATABASES
async def test_listening_goes_on_after_such_an_address(
    unsound: str | None, database: Database, database_url: str
) -> None:
    address = Unsound(database_url, unsound)
    apart = Database(address, name="taskgate listener")
    listener, heard = Listener(apart), asyncio.Event()
    listener.subscribe("a", lambda _: heard.set())
    listener.start()
    try:
        await listener.wait_listening()
        address.is_sound = False
        await database.execute(END, "taskgate listener")
        await until(lambda: address.asked > 1)
        address.is_sound = True
        await until(lambda: listener.is_listening)
        await database.execute("SELECT pg_notify('a', '')")
        async with asyncio.timeout(5):
            await heard.wait()
    finally:
        await listener.close()
        await apart.close()


async def test_launchdarklys_sdk_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, file = LaunchDarklyServer(), tmp_path / "sdk"
    await server.start()
    server.put(new_flag("task-backend") | {"version": 1})
    write(file, server.sdk_key)
    source = FlagSource(sdk_key=SecretFile(file).latest, base_url=server.url)
    query = RouteQuery("acme", "add_episode", "task-1", "p1", plan=None)
    try:
        await connected(source)
        assert source.version == 1
        server.sdk_key = "sdk-renewed"
        write(file, "sdk-renewed")
        await server.stop()
        flag = with_stage(new_flag("task-backend") | {"version": 2}, Scope("acme"), Stage.LIVE)
        server.put(flag)
        await server.start()
        assert await eventually(lambda: version(source), lambda seen: seen == 2) == 2
        assert source.evaluate(query).stage is Stage.LIVE
        assert source.problem() is None
    finally:
        await source.close()
        await server.stop()


async def test_a_client_that_is_still_connecting_with_a_new_key_is_closed_as_well(tmp_path: Path) -> None:
    server, file = LaunchDarklyServer(), tmp_path / "sdk"
    await server.start()
    server.put(new_flag("task-backend") | {"version": 1})
    write(file, server.sdk_key)
    source = FlagSource(sdk_key=SecretFile(file).latest, base_url=server.url)
    try:
        await connected(source)
        server.has_flags = False
        server.sdk_key = "sdk-renewed"
        write(file, "sdk-renewed")
        await until(lambda: server.open_connections == 2)
        await source.close()
        await until(lambda: server.open_connections == 0)
    finally:
        await server.stop()


async def version(source: FlagSource) -> int | None:
    return source.version if source.problem() is None else None


async def test_keys_of_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str | None] = []

    async def embeddings(request: Request) -> JSONResponse:
        sent.append(request.headers.get("authorization"))
        vector = {"object": "embedding", "index": 0, "embedding": [0.5] * 8}
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return JSONResponse({"object": "list", "model": "m", "data": [vector], "usage": usage})

    app = Starlette(routes=[Route("/v1/embeddings", embeddings, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    assert await eventually(lambda: started(server), bool)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    file = tmp_path / "embedder"
    write(file, "first")
    monkeypatch.setenv("TASKGATE_EMBEDDER_URL", url)
    monkeypatch.setenv("TASKGATE_LLM_URL", url)
    monkeypatch.setenv("TASKGATE_EMBEDDER_DIMENSIONS", "8")
    monkeypatch.setenv("TASKGATE_GRAPH_URL", "bolt://127.0.0.1:1")
    graphiti = build_graphiti(by_file(monkeypatch, "EMBEDDER_API_KEY", file))
    try:
        await graphiti.embedder.create("text")
        write(file, "second")
        await graphiti.embedder.create("text")
        assert sent == ["Bearer first", "Bearer second"]
    finally:
        await graphiti.driver.close()
        server.should_exit = True
        await serving


async def started(server: uvicorn.Server) -> bool:
    return server.started


async def test_neo4j(neo4j_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "graph"
    address = neo4j_server.rpartition("@")[2].removeprefix("bolt://")
    write(file, f"bolt://neo4j:first@{address}")
    monkeypatch.setenv("TASKGATE_MODELS_MODULE", "deploy.demo")
    graphiti = build_graphiti(by_file(monkeypatch, "GRAPH_URL", file))
    try:
        await graphiti.driver.client.verify_connectivity()
        pool = graphiti.driver.client._pool
        write(file, f"bolt://neo4j:second@{address}")
        assert (await pool.pool_config.auth.get_auth())[1] == "first", "asked for once"
        await pool.pool_config.auth.handle_security_exception(await pool.pool_config.auth.get_auth(), _unauthorized())
        assert (await pool.pool_config.auth.get_auth())[1] == "second", "and again after a refusal"
    finally:
        await graphiti.driver.close()


def _unauthorized() -> Exception:
    from neo4j.exceptions import Neo4jError

    return Neo4jError._hydrate_neo4j(code="Neo.ClientError.Security.Unauthorized", message="refused")
