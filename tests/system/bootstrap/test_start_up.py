"""What keeps a process from starting is one line on standard error that says what to do, and an exit code."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from pathlib import Path

import asyncpg
import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client

from deploy.local.ports import free_port
from tests.conftest import PROGRAM

SERVE, WORKER = ("serve",), ("worker", "--backend", "redis")
BOTH = pytest.mark.parametrize("command", [SERVE, WORKER], ids=["serve", "worker"])
ALL = pytest.mark.parametrize("command", [SERVE, WORKER, ("db", "migrate")], ids=["serve", "worker", "migrate"])


async def started(*command: str, **settings: str) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKGATE_")}
    environment |= {"COLUMNS": "400"} | {f"TASKGATE_{name}": value for name, value in settings.items()}
    return await asyncio.create_subprocess_exec(
        PROGRAM, *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def refusal(*command: str, **settings: str) -> str:
    """What the command wrote to standard error when it ended with an error by itself."""
    process = await started(*command, **settings)
    try:
        _, errors = await asyncio.wait_for(process.communicate(), 40)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode not in (None, 0)
    return errors.decode()


@BOTH
async def test_a_database_that_is_not_migrated(command: tuple[str, ...], database_url: str, redis_server: str) -> None:
    connection = await asyncpg.connect(database_url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute("DROP SCHEMA taskgate CASCADE")
    said = await refusal(*command, DATABASE_URL=database_url, REDIS_URL=redis_server)
    assert said == f"taskgate: database {name} has no tables of the gateway: run `taskgate db migrate`\n"
    await connection.close()


@BOTH
async def test_a_schema_of_an_earlier_release(command: tuple[str, ...], database_url: str, redis_server: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE taskgate.alembic_version SET version_num = '0260_recovery'")
    said = await refusal(*command, DATABASE_URL=database_url, REDIS_URL=redis_server)
    assert re.fullmatch(
        r"taskgate: database \w+ is \d+ migrations behind, at 0260_recovery: run `taskgate db migrate`\n", said
    )
    await connection.close()


@BOTH
async def test_missing_rights(command: tuple[str, ...], database_url: str, redis_server: str) -> None:
    connection = await asyncpg.connect(database_url)
    role = f"role_{database_url.rsplit('_', 1)[1]}"
    await connection.execute(f"CREATE ROLE {role} LOGIN; GRANT SELECT ON task_logs TO {role}")
    await connection.execute(f"GRANT USAGE ON SCHEMA taskgate TO {role}")
    url = database_url.replace("postgres@", f"{role}@", 1)
    said = await refusal(*command, DATABASE_URL=url, REDIS_URL=redis_server)
    assert said == f"taskgate: rights are missing: GRANT INSERT, UPDATE ON task_logs TO {role}\n"
    await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    await connection.close()


@BOTH
async def test_missing_rights_on_the_gateways_own_tables(
    command: tuple[str, ...], database_url: str, redis_server: str
) -> None:
    connection = await asyncpg.connect(database_url)
    role = f"role_{database_url.rsplit('_', 1)[1]}"
    await connection.execute(f"CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public, taskgate TO {role}")
    await connection.execute(f"GRANT USAGE ON SCHEMA taskgate TO {role}; REVOKE ALL ON taskgate.mark FROM {role}")
    url = database_url.replace("postgres@", f"{role}@", 1)
    said = await refusal(*command, DATABASE_URL=url, REDIS_URL=redis_server)
    assert said == "taskgate: rights are missing in the database: permission denied for table mark\n"
    await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    await connection.close()


async def test_a_migration_without_rights_leaves_nothing(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    role = f"role_{database_url.rsplit('_', 1)[1]}"
    await connection.execute(f"DROP SCHEMA taskgate CASCADE; CREATE ROLE {role} LOGIN")
    await connection.execute(f"ALTER TABLE task_logs OWNER TO {role}")
    said = await refusal("db", "migrate", DATABASE_URL=database_url.replace("postgres@", f"{role}@", 1))
    name = database_url.rsplit("/", 1)[1]
    assert said == f"taskgate: rights are missing in the database: permission denied for database {name}\n"
    assert await connection.fetchval("SELECT to_regnamespace('taskgate')") is None
    await connection.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
    await connection.close()


async def test_an_export_to_s3_where_its_library_is_not_installed(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "obstore").mkdir()
    (tmp_path / "obstore" / "__init__.py").touch()
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    )
    said = await refusal("serve", DATABASE_URL=database_url, RETENTION_EXPORT="s3://bucket/tasks")
    assert said.splitlines()[-1] == (
        "taskgate: TASKGATE_RETENTION_EXPORT names an S3 store, which needs the extra archive: "
        "pip install 'taskgate[archive]'"
    )
    assert "Traceback" not in said


@pytest.mark.parametrize("table", ["task_logs", "projects"])
async def test_a_migration_of_another_database_leaves_nothing(table: str, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"DROP SCHEMA taskgate CASCADE; DROP TABLE {table} CASCADE")
    said = await refusal("db", "migrate", DATABASE_URL=database_url)
    name = database_url.rsplit("/", 1)[1]
    assert said == f"taskgate: database {name} has no table {table}: is TASKGATE_DATABASE_URL MemStack's?\n"
    assert await connection.fetchval("SELECT to_regnamespace('taskgate')") is None
    await connection.close()


async def test_a_migration_by_another_than_the_owner_leaves_nothing(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    name = database_url.rsplit("/", 1)[1]
    role = f"role_{database_url.rsplit('_', 1)[1]}"
    await connection.execute(f"DROP SCHEMA taskgate CASCADE; CREATE ROLE {role} LOGIN")
    await connection.execute(f"GRANT CREATE ON DATABASE {name} TO {role}")
    said = await refusal("db", "migrate", DATABASE_URL=database_url.replace("postgres@", f"{role}@", 1))
    assert said == (
        "taskgate: rights are missing: task_logs gets indexes, so its owner has to migrate "
        f"(as postgres, or after GRANT postgres TO {role})\n"
    )
    assert await connection.fetchval("SELECT to_regnamespace('taskgate')") is None
    await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    await connection.close()


@ALL
async def test_a_bad_value(command: tuple[str, ...]) -> None:
    said = await refusal(*command, HTTP_PORT="eighty")
    assert said.startswith("taskgate: TASKGATE_HTTP_PORT: ")
    assert said.count("\n") == 1


@ALL
async def test_a_misspelt_variable(command: tuple[str, ...]) -> None:
    said = await refusal(*command, DATABSE_URL="postgresql://x")
    assert said == "taskgate: there is no setting TASKGATE_DATABSE_URL; perhaps TASKGATE_DATABASE_URL is meant\n"


async def test_a_handler_module_that_does_not_exist(redis_server: str) -> None:
    said = await refusal(*WORKER, REDIS_URL=redis_server, HANDLERS="no_such_module")
    why = "ModuleNotFoundError: No module named 'no_such_module'"
    assert said == f"taskgate: Handler module 'no_such_module' cannot be imported: {why}\n"


async def until_said(process: asyncio.subprocess.Process, text: str) -> list[str]:
    """The lines of the log, up to the first that holds the text."""
    assert process.stderr is not None
    lines: list[str] = []
    async with asyncio.timeout(90):
        while not lines or text not in lines[-1]:
            line = await process.stderr.readline()
            assert line, lines
            lines.append(line.decode())
    return lines


async def test_a_worker_without_its_namespace_says_so_once_and_works_when_it_is_there(
    database_url: str, temporal_server: str
) -> None:
    namespace = f"late-{secrets.token_hex(4)}"
    worker = await started(
        *("worker", "--backend", "temporal"),
        DATABASE_URL=database_url,
        TEMPORAL_ADDRESS=temporal_server,
        TEMPORAL_NAMESPACE=namespace,
    )
    try:
        lines = await until_said(worker, "namespace create")
        assert f"Namespace {namespace} is not found. Create it with `temporal operator namespace create`" in lines[-1]
        client = await Client.connect(temporal_server, namespace=namespace)
        await client.workflow_service.register_namespace(
            RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=Duration(seconds=86400))
        )
        lines += await until_said(worker, "is ready")
        assert "".join(lines).count("namespace create") == 1
    finally:
        worker.terminate()
        await worker.communicate()


async def test_a_gateway_without_its_namespace_says_so(database_url: str, temporal_server: str) -> None:
    namespace = f"missing-{secrets.token_hex(4)}"
    gateway = await started(
        "serve",
        DATABASE_URL=database_url,
        TEMPORAL_ADDRESS=temporal_server,
        TEMPORAL_NAMESPACE=namespace,
        HTTP_PORT=str(free_port()),
        GRPC_ENABLED="false",
    )
    try:
        line = (await until_said(gateway, "tasks on temporal wait until it is there: "))[-1]
        assert f"Namespace {namespace} is not found." in line
    finally:
        gateway.terminate()
        await gateway.communicate()
