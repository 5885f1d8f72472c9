"""`docs/install.md` as it stands: its statements, run on servers that know nothing of the gateway, are enough."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import neo4j
import pytest
from redis.asyncio import Redis

from deploy.local.ports import free_port
from gateway.routing.flag_edit import with_stage
from gateway.routing.flag_file import FlagFile
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.storage.schema.migrate import create_legacy_tables
from gateway.storage.schema.seed import seed
from workers.testing.waiting import eventually

PAGE = Path(__file__).parents[3].joinpath("docs", "install.md").read_text(encoding="utf-8")
PROGRAM = Path(sys.executable).with_name("taskgate")
PATIENCE = 90.0


def block(language: str, title: str) -> str:
    """The fenced block of the page that begins with this comment."""
    found = re.search(rf"```{language}\n(?:--|//) {title}\n(.*?)```", PAGE, re.DOTALL)
    assert found, title
    return found[1]


class Installation:
    """Roles and a database of the page's kind; names are the test's own."""

    def __init__(self, server: str, redis_url: str, temporal: tuple[str, str], graph_url: str, directory: Path) -> None:
        self.owner, self.role = f"memstack_{secrets.token_hex(4)}", f"taskgate_{secrets.token_hex(4)}"
        self._server = server
        self._directory = directory
        self.flags = directory / "flags.json"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKGATE_")} | {
            "TASKGATE_DATABASE_URL": self.database_url(self.role),
            "TASKGATE_REDIS_URL": redis_url,
            "TASKGATE_TEMPORAL_ADDRESS": temporal[0],
            "TASKGATE_TEMPORAL_NAMESPACE": temporal[1],
            "TASKGATE_GRAPH_URL": graph_url,
            "TASKGATE_FLAGS_FILE": str(self.flags),
            "TASKGATE_MODELS_MODULE": "deploy.demo",
            "TASKGATE_GRPC_ENABLED": "false",
        }

    def database_url(self, role: str) -> str:
        parts = urlsplit(self._server)
        return parts._replace(netloc=f"{role}:change-me@{parts.hostname}:{parts.port}", path=f"/{self.owner}").geturl()

    def named(self, statements: str) -> str:
        """The page's statements with this test's names."""
        statements = statements.replace("DATABASE memstack", f"DATABASE {self.owner}")
        return re.sub(
            r"\b(TO|FROM) memstack\b",
            rf"\1 {self.owner}",
            re.sub(r"\b(TO|ROLE|FROM|OWNED BY) taskgate\b(?!\.)", rf"\1 {self.role}", statements),
        )

    async def prepare(self) -> dict[str, str]:
        """Everything up to the page's step 3; the keys of the tenants."""
        admin = await asyncpg.connect(self._server)
        await admin.execute(f"CREATE ROLE {self.owner} LOGIN PASSWORD 'change-me'")
        await admin.execute(f"CREATE DATABASE {self.owner}")
        await self.execute_as_superuser(f"GRANT CREATE ON SCHEMA public TO {self.owner}")
        owner_url = self.database_url(self.owner)
        await create_legacy_tables(owner_url)
        await admin.execute(self.named(block("sql", "grants: superuser")))
        await admin.close()
        migration = await asyncio.create_subprocess_exec(
            PROGRAM, "db", "migrate", env={**self.environment, "TASKGATE_DATABASE_URL": owner_url}
        )
        assert await migration.wait() == 0
        owner = await asyncpg.connect(owner_url)
        await owner.execute(self.named(block("sql", "grants: owner")))
        await owner.close()
        return await seed(owner_url)

    async def execute_as_superuser(self, statements: str) -> None:
        superuser = await asyncpg.connect(urlsplit(self._server)._replace(path=f"/{self.owner}").geturl())
        await superuser.execute(statements)
        await superuser.close()

    async def remove(self) -> None:
        admin = await asyncpg.connect(self._server)
        await admin.execute(f"DROP DATABASE IF EXISTS {self.owner} WITH (FORCE)")
        await admin.execute(f"DROP ROLE IF EXISTS {self.role}")
        await admin.execute(f"DROP ROLE IF EXISTS {self.owner}")
        await admin.close()

    def set_stage(self, tenant: str, stage: Stage) -> None:
        FlagFile(self.flags, "task-backend").edit(
            lambda flag: with_stage(flag, Scope(tenant_id=tenant), stage),
            who="test",
            why="test",
            what=tenant,
            describe=lambda _: str(stage),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """A gateway and workers of both backends; its URL. Their logs may hold no complaint about rights."""
        port = free_port()
        environment = {**self.environment, "TASKGATE_HTTP_PORT": str(port)}
        url, log = f"http://127.0.0.1:{port}", self._directory / "log"
        ready = [self._directory / backend for backend in ("redis", "temporal")]
        commands = [(["serve"], {})]
        commands += [(["worker", "--backend", path.name], {"TASKGATE_READY_FILE": str(path)}) for path in ready]
        with log.open("wb") as output:
            processes = [
                await asyncio.create_subprocess_exec(
                    PROGRAM, *command, env=environment | more, stdout=output, stderr=output
                )
                for command, more in commands
            ]
            try:
                async with httpx.AsyncClient() as http:

                    async def are_ready() -> bool:
                        assert all(process.returncode is None for process in processes), log.read_text()
                        return all(path.exists() for path in ready) and await _answers(http, url)

                    await eventually(are_ready, within=PATIENCE)
                yield url
            finally:
                for process in processes:
                    if process.returncode is None:
                        process.terminate()
                await asyncio.gather(*(process.wait() for process in processes))
        assert not re.search(r"permission|privilege|NOPERM|must be owner", log.read_text(), re.IGNORECASE), (
            log.read_text()
        )


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/health")).status_code == 200
    except httpx.TransportError:
        return False


async def _until(client: httpx.AsyncClient, task_id: str, status: str) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        task: dict[str, Any] = (await client.get(f"/api/v1/tasks/{task_id}")).json()
        return task

    task = await eventually(
        read, lambda task: task["status"] in ("Completed", "Failed", "Stopped"), within=PATIENCE, pause=0.1
    )
    assert task["status"] == status, task
    return task


@pytest.fixture
async def redis_user(redis_server: str) -> AsyncIterator[str]:
    """The address of Redis for the page's user, who begins with no channel, as Redis 7 has it."""
    [line] = re.findall(r"redis-cli (ACL SETUSER taskgate .*)", PAGE)
    client = Redis.from_url(redis_server)
    await client.execute_command("ACL", "SETUSER", "taskgate", "resetchannels")
    await client.execute_command(*shlex.split(line))
    parts = urlsplit(redis_server)
    yield parts._replace(netloc=f"taskgate:change-me@{parts.netloc}").geturl()
    await client.execute_command("ACL", "DELUSER", "taskgate")
    await client.aclose()


@pytest.fixture
async def installation(
    postgres_server: str,
    redis_user: str,
    temporal_server: str,
    temporal_namespace: str,
    neo4j_server: str,
    tmp_path: Path,
) -> AsyncIterator[Installation]:
    temporal = (temporal_server, temporal_namespace)
    installation = Installation(postgres_server, redis_user, temporal, neo4j_server, tmp_path)
    yield installation
    await installation.remove()


async def test_these_rights_are_enough(installation: Installation) -> None:
    keys = await installation.prepare()
    installation.set_stage("acme", Stage.LIVE)
    installation.set_stage("globex", Stage.OFF)
    async with installation.running() as url:
        for tenant in ("acme", "globex"):
            headers = {"Authorization": f"Bearer {keys[f'TASKGATE_KEY_{tenant.upper()}']}"}
            async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
                await _use(client, keys[f"TASKGATE_PROJECT_{tenant.upper()}"])
        headers = {"Authorization": f"Bearer {keys['TASKGATE_ADMIN_KEY']}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
            await _administrate(client)
            ledger = (await client.get("/gateway/v1/migration/ledger")).json()["flips"]
            assert [flip["source"] for flip in ledger] == ["genesis"]


async def _use(client: httpx.AsyncClient, project: str) -> None:
    async def post(path: str, body: Any = None, **headers: str) -> Any:
        answer = await client.post(path, json=body, headers=headers)
        assert answer.is_success, (path, answer.text)
        return answer.json()

    text = "Ada Lovelace met Charles Babbage in London."
    episode = await post("/api/v1/episodes/", {"content": text}, **{"Idempotency-Key": "one"})
    memory = await post("/api/v1/memories/", {"project_id": project, "title": "t", "content": text})
    for task_id in (episode["task_id"], memory["task_id"]):
        await _until(client, task_id, "Completed")
    maintenance = await post("/api/v1/maintenance/deduplicate", {"dry_run": False})
    await _until(client, maintenance["task_id"], "Completed")
    failing = await post("/gateway/v1/tasks", {"type": "incremental_refresh", "payload": {"episode_uuids": 7}})
    await _until(client, failing["task_id"], "Failed")
    await post(f"/gateway/v1/dead-letters/{failing['task_id']}/redrive", {"edit": {"patch": {"episode_uuids": None}}})
    await _until(client, failing["task_id"], "Completed")
    schedule = {"name": "n", "specs": [{"cron": "0 3 * * *"}], "action": {"type": "rebuild_communities"}}
    created = await post("/gateway/v1/schedules", schedule)
    fired = await post(f"/gateway/v1/schedules/{created['schedule_id']}/run", {})
    await _until(client, fired["task_id"], "Completed")
    delayed = [{"type": "add_episode", "payload": {"content": "x"}, "delay_seconds": 3600, "unique_key": "u"}]
    batch = await post("/gateway/v1/tasks/batch", {"tasks": delayed})
    await post(f"/api/v1/tasks/{batch['tasks'][0]['task_id']}/stop")
    await post(f"/api/v1/tasks/{batch['tasks'][0]['task_id']}/retry")
    cancelled = await post("/gateway/v1/operations", {"action": "cancel", "filter": {"type": ["add_episode"]}})
    assert cancelled["state"] in ("running", "completed")
    assert (await client.get("/api/v1/tasks/stats")).status_code == 200


async def _administrate(client: httpx.AsyncClient) -> None:
    for method, path, body in (
        ("PUT", "tenants/acme/quotas", {"queued": 100, "why": "test"}),
        ("PUT", "tenants/acme", {"tier": "vip", "weight": 2, "why": "test"}),
        ("POST", "pauses", {"tenant_id": "umbrella", "why": "test"}),
        ("POST", "tenants/acme/webhook-secret", {}),
        ("GET", "workers", None),
        ("GET", "tenants/acme", None),
    ):
        answer = await client.request(method, f"/gateway/v1/{path}", json=body)
        assert answer.is_success, (path, answer.text)


async def test_neither_tasks_nor_the_ledger_can_be_deleted(installation: Installation) -> None:
    await installation.prepare()
    gateway = await asyncpg.connect(installation.database_url(installation.role))
    for statement in (
        "DELETE FROM task_logs",
        "DROP TABLE task_logs",
        "ALTER TABLE task_logs ADD COLUMN x int",
        "UPDATE taskgate.ledger SET who = 'mallory'",
        "DELETE FROM taskgate.ledger",
        "DELETE FROM taskgate.ledger_month",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await gateway.execute(statement)
    await gateway.close()


async def test_with_the_right_for_retention_tasks_can_be_deleted(installation: Installation) -> None:
    await installation.prepare()
    owner = await asyncpg.connect(installation.database_url(installation.owner))
    await owner.execute(installation.named(block("sql", "grants: retention")))
    await owner.close()
    gateway = await asyncpg.connect(installation.database_url(installation.role))
    await gateway.execute("DELETE FROM task_logs")
    await gateway.close()


async def test_uninstalling_leaves_nothing(installation: Installation) -> None:
    await installation.prepare()
    left = """
        SELECT ARRAY(SELECT indexname::text FROM pg_indexes
                     WHERE tablename = 'task_logs' AND indexname LIKE '%taskgate%')
                 || ARRAY(SELECT nspname::text FROM pg_namespace WHERE nspname = 'taskgate')
                 || ARRAY(SELECT rolname::text FROM pg_roles WHERE rolname = $1)
                 || (SELECT reloptions FROM pg_class WHERE oid = 'task_logs'::regclass)
    """
    owner = await asyncpg.connect(installation.database_url(installation.owner))
    before = await owner.fetchval(left, installation.role)
    assert {"taskgate", installation.role, "fillfactor=85", "taskgate_ended"} <= set(before)
    await owner.execute(installation.named(block("sql", "uninstall: owner")))
    await installation.execute_as_superuser(installation.named(block("sql", "uninstall: superuser")))
    assert await owner.fetchval(left, installation.role) == []
    await owner.close()


async def test_the_group_neo4j_can_be_moved(neo4j_server: str) -> None:
    """Here as another group's name: the server is shared with other tests."""
    before, after = f"from-{secrets.token_hex(4)}", f"to-{secrets.token_hex(4)}"

    def own(statement: str) -> str:
        return statement.replace("'neo4j'", f"'{before}'").replace("'acme'", f"'{after}'")

    async with neo4j.AsyncGraphDatabase.driver(neo4j_server) as driver, driver.session() as session:
        await session.run(
            "CREATE (:Episodic {uuid: randomUUID(), name: 'n', content: 'c', group_id: $g, tenant_id: $t,"
            " valid_at: datetime()})-[:MENTIONS {group_id: $g}]->(:Entity {uuid: randomUUID(), group_id: $g}),"
            " (:TaskgateGroupLock {group_id: $g})",
            g=before,
            t=after,
        )
        found = await session.run(own(block("cypher", "episodes")))
        assert [record["content"] async for record in found] == ["c"]
        for statement in filter(str.strip, own(block("cypher", "move")).split(";")):
            await (await session.run(statement)).consume()
        counted = await session.run(
            "OPTIONAL MATCH (n {group_id: $g}) WITH count(n) AS nodes OPTIONAL MATCH ()-[r {group_id: $g}]->()"
            " RETURN nodes, count(r) AS edges",
            g=after,
        )
        assert (await counted.single()).values() == [2, 1]
        await (await session.run("MATCH (n) WHERE n.group_id IN $g DETACH DELETE n", g=[before, after])).consume()
