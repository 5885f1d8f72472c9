"""Checks once at start-up whether a gateway or worker can use the database."""

from __future__ import annotations

import asyncio

import asyncpg

from backends.errors import TaskgateError
from gateway.errors import DatabaseUnavailable
from gateway.storage.database import connect

#: A database that does not answer within this time (seconds) counts as away; start-up then waits for it elsewhere.
PATIENCE = 3.0
_FIT = """
SELECT to_regclass('task_logs') IS NOT NULL AS has_legacy, to_regclass('taskgate.dispatch') IS NOT NULL AS is_migrated,
       ARRAY(SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) p
             WHERE to_regclass('task_logs') IS NOT NULL AND NOT has_table_privilege('task_logs', p)) AS missing,
       current_user AS who, current_database() AS name
"""


class DatabaseUnfit(TaskgateError):
    """The database cannot be used as it is."""

    code = "database_unfit"


async def check_database(url: str) -> None:
    """Raises `DatabaseUnfit` with the remedy. A database that is away is accepted: its users wait for it."""
    try:
        async with asyncio.timeout(PATIENCE):
            connection = await connect(url, name="taskgate start")
            try:
                found = await connection.fetchrow(_FIT)
            finally:
                await connection.close()
    except (DatabaseUnavailable, TimeoutError, OSError):
        return
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise DatabaseUnfit(f"the database refuses the user: {error}; see TASKGATE_DATABASE_URL") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseUnfit(f"rights are missing in the database: {error}") from error
    assert found is not None
    if not found["has_legacy"]:
        raise DatabaseUnfit(f"database {found['name']} has no table task_logs: is TASKGATE_DATABASE_URL MemStack's?")
    if found["missing"]:
        rights = ", ".join(found["missing"])
        raise DatabaseUnfit(f"rights are missing: GRANT {rights} ON task_logs TO {found['who']}")
    if not found["is_migrated"]:
        raise DatabaseUnfit(f"database {found['name']} has no tables of the gateway: run `taskgate db migrate`")
