"""Checks once at start-up whether a gateway or worker can use the database."""

from __future__ import annotations

import asyncio

import asyncpg

from backends.errors import TaskgateError
from gateway.errors import DatabaseUnavailable
from gateway.storage.database import connect
from gateway.storage.schema.revisions import known_revisions

#: A database that does not answer within this time (seconds) counts as away; start-up then waits for it elsewhere.
PATIENCE = 3.0
#: Tables of MemStack without which neither the migrations nor a gateway can work.
_LEGACY = (
    *("task_logs", "users", "roles", "user_roles", "api_keys", "tenants", "projects"),
    *("user_tenants", "user_projects", "memories"),
)
_FIT = """
SELECT to_regclass('taskgate.dispatch') IS NOT NULL AS is_migrated,
       (SELECT t FROM unnest($1::text[]) t WHERE to_regclass(t) IS NULL LIMIT 1) AS missing_table,
       ARRAY(SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) p
             WHERE to_regclass('task_logs') IS NOT NULL AND NOT has_table_privilege('task_logs', p)) AS missing,
       to_regclass('taskgate.recovery') IS NOT NULL AS may_be_behind, current_user AS who, current_database() AS name
"""
_REVISION = "SELECT version_num FROM taskgate.alembic_version"
#: After a restore: engines may hold what this database does not know.
_UNFINISHED = "SELECT began_at::text FROM taskgate.recovery WHERE finished_at IS NULL"


#: `role`: whose the gateway's tables are, or are to be, if that is another and may be taken on.
_MIGRATABLE = """
SELECT current_database() AS name, current_user AS who,
       (SELECT t FROM unnest($1::text[]) t WHERE to_regclass(t) IS NULL LIMIT 1) AS missing_table,
       own.oid IS NOT NULL OR pg_has_role(c.relowner, 'MEMBER') AS may_index,
       c.relowner::regrole::text AS owner, r.rolname AS role
FROM (SELECT to_regclass('task_logs') AS logs, to_regclass('taskgate.alembic_version') AS version) t
LEFT JOIN pg_class c ON c.oid = t.logs
LEFT JOIN pg_class own ON own.oid = t.version
LEFT JOIN pg_roles r ON r.oid = COALESCE(own.relowner, c.relowner)
                    AND r.rolname <> current_user AND pg_has_role(r.oid, 'MEMBER')
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
                found = await connection.fetchrow(_FIT, _LEGACY)
                assert found is not None
                _check_legacy(found)
                _check_own(found)
                _check_revision(found["name"], await connection.fetchval(_REVISION))
                unfinished = await connection.fetchval(_UNFINISHED) if found["may_be_behind"] else None
            finally:
                await connection.close()
    except (DatabaseUnavailable, TimeoutError, OSError) as error:
        if isinstance(refusal := error.__cause__, asyncpg.InvalidAuthorizationSpecificationError):
            raise DatabaseUnfit(f"the database refuses the user: {refusal}; see TASKGATE_DATABASE_URL") from error
        return
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseUnfit(f"rights are missing in the database: {error}") from error
    if unfinished is not None:
        raise DatabaseUnfit(f"a recovery was begun at {unfinished} and is not finished: run `taskgate recover` again")


async def check_migratable(connection: asyncpg.Connection) -> str | None:
    """Whether a migration can be carried through, asked before it changes anything. Raises `DatabaseUnfit`.

    Gives the role that it has to take on (None: the connection's): what a superuser or a member of the owner makes in
    its own name, neither the owner can change later nor the gateway read.
    """
    found = await connection.fetchrow(_MIGRATABLE, _LEGACY)
    assert found is not None
    _check_legacy(found)
    if not found["may_index"]:
        raise DatabaseUnfit(
            f"rights are missing: task_logs gets indexes, so its owner has to migrate (as {found['owner']}, or after "
            f"GRANT {found['owner']} TO {found['who']})"
        )
    role: str | None = found["role"]
    return role


def _check_legacy(found: asyncpg.Record) -> None:
    if missing := found["missing_table"]:
        raise DatabaseUnfit(f"database {found['name']} has no table {missing}: is TASKGATE_DATABASE_URL MemStack's?")


def _check_own(found: asyncpg.Record) -> None:
    if found["missing"]:
        rights = ", ".join(found["missing"])
        raise DatabaseUnfit(f"rights are missing: GRANT {rights} ON task_logs TO {found['who']}")
    if not found["is_migrated"]:
        raise DatabaseUnfit(f"database {found['name']} has no tables of the gateway: run `taskgate db migrate`")


def _check_revision(name: str, reached: str | None) -> None:
    """A release runs on the schema of a later one, which it does not know, and not on that of an earlier one."""
    known = known_revisions()
    if reached in known[:-1]:
        behind = len(known) - 1 - known.index(reached)
        raise DatabaseUnfit(f"database {name} is {behind} migrations behind, at {reached}: run `taskgate db migrate`")
