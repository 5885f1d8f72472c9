"""Temporal's schema in PostgreSQL, also in one that lacks an extension."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from pathlib import Path

import asyncpg

from deploy.local.errors import StackError
from deploy.local.temporal_binaries import TemporalPrograms
from deploy.local.temporal_config import MAIN_DATABASE, PLUGIN, VISIBILITY_DATABASE, SqlServer

FOLDERS = {MAIN_DATABASE: "temporal", VISIBILITY_DATABASE: "visibility"}
EXTENSION = "btree_gin"

_CREATE_EXTENSION = re.compile(rf"DO LANGUAGE 'plpgsql' \$\$(?:(?!\$\$).)*{EXTENSION}(?:(?!\$\$).)*\$\$;", re.DOTALL)
_NAMESPACE_IN_INDEX = re.compile(r"(USING GIN \()\s*namespace_id,\s*")


async def ensure_schema(sql: SqlServer, programs: TemporalPrograms) -> None:
    """Makes or updates both databases; one that is up to date is left as it is."""
    for database, folder in FOLDERS.items():
        if not await _has_schema(sql, database):
            await _sql_tool(sql, programs, database, "create")
            await _sql_tool(sql, programs, database, "setup-schema", "-v", "0.0")
        if await _has_extension(sql, database):
            await _sql_tool(sql, programs, database, "update-schema", "--schema-name", f"postgresql/v12/{folder}")
        else:
            await _update_without_extension(sql, programs, database, folder)


async def _update_without_extension(sql: SqlServer, programs: TemporalPrograms, database: str, folder: str) -> None:
    if programs.schema is None:
        raise StackError(
            f"temporal: this PostgreSQL lacks the extension {EXTENSION}; install its contrib modules "
            "(package postgresql-contrib)"
        )
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / folder
        await asyncio.to_thread(without_extension, programs.schema / folder / "versioned", copy)
        await _sql_tool(sql, programs, database, "update-schema", "--schema-dir", str(copy))


def without_extension(schema: Path, copy: Path) -> None:
    """Copies versioned schema files so that they need no extension.

    It serves only to put the namespace into indexes on lists; without it they find the same rows, of one namespace
    as of many. The PostgreSQL of the Python package brings no extensions.
    """
    shutil.copytree(schema, copy)
    for file in copy.rglob("*.sql"):
        file.write_text(_NAMESPACE_IN_INDEX.sub(r"\1", _CREATE_EXTENSION.sub("", file.read_text())))


async def _connect(sql: SqlServer, database: str) -> asyncpg.Connection:
    return await asyncpg.connect(
        host=sql.host, port=sql.port, user=sql.user, password=sql.password or None, database=database, timeout=10
    )


async def _has_schema(sql: SqlServer, database: str) -> bool:
    try:
        connection = await _connect(sql, database)
    except asyncpg.InvalidCatalogNameError:
        return False
    try:
        return bool(await connection.fetchval("SELECT to_regclass('schema_version') IS NOT NULL"))
    finally:
        await connection.close()


async def _has_extension(sql: SqlServer, database: str) -> bool:
    connection = await _connect(sql, database)
    try:
        found = await connection.fetchval("SELECT 1 FROM pg_available_extensions WHERE name = $1", EXTENSION)
        return bool(found)
    finally:
        await connection.close()


async def _sql_tool(sql: SqlServer, programs: TemporalPrograms, database: str, *action: str) -> None:
    process = await asyncio.create_subprocess_exec(
        str(programs.sql_tool),
        *("--plugin", PLUGIN, "--endpoint", sql.host, "--port", str(sql.port), "--user", sql.user),
        *("--database", database),
        *action,
        # The password not on the command line, where every user of the machine could read it.
        env={"SQL_PASSWORD": sql.password},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        lines = output.decode(errors="replace").strip().splitlines()
        raise StackError(f"temporal: {action[0]} of {database} failed: {lines[-1] if lines else 'no output'}")
