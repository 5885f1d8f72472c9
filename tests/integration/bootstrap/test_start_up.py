"""What keeps a process from starting is one line on standard error that says what to do, and an exit code."""

from __future__ import annotations

import asyncio
import os

import asyncpg
import pytest

from tests.integration.conftest import PROGRAM

SERVE, WORKER = ("serve",), ("worker", "--backend", "redis")
BOTH = pytest.mark.parametrize("command", [SERVE, WORKER], ids=["serve", "worker"])
ALL = pytest.mark.parametrize("command", [SERVE, WORKER, ("db", "migrate")], ids=["serve", "worker", "migrate"])


async def refusal(*command: str, **settings: str) -> str:
    """What the command wrote to standard error when it ended with an error by itself."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKGATE_")}
    environment |= {"COLUMNS": "400"} | {f"TASKGATE_{name}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
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


async def test_a_migration_without_rights_leaves_nothing(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    role = f"role_{database_url.rsplit('_', 1)[1]}"
    await connection.execute(f"DROP SCHEMA taskgate CASCADE; CREATE ROLE {role} LOGIN")
    said = await refusal("db", "migrate", DATABASE_URL=database_url.replace("postgres@", f"{role}@", 1))
    name = database_url.rsplit("/", 1)[1]
    assert said == f"taskgate: rights are missing in the database: permission denied for database {name}\n"
    assert await connection.fetchval("SELECT to_regnamespace('taskgate')") is None
    await connection.execute(f"DROP ROLE {role}")
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
