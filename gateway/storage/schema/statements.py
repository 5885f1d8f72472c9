"""Runs `.sql` files statement by statement (asyncpg prepares one statement at a time)."""

from __future__ import annotations

import asyncio
import re
from importlib import resources

from alembic import op
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from gateway.storage.schema.lock_waits import LOCK_SECONDS, OLDEST, is_without_lock, pauses, say

_END = re.compile(r";[ \t]*(?:--[^\n]*)?$", re.MULTILINE)


def split(text: str) -> list[str]:
    """The statements of a file; each ends with a semicolon at the end of a line, outside of `$$` bodies."""
    statements, current = [], ""
    for line in text.splitlines(keepends=True):
        if not current.strip() and (not line.strip() or line.lstrip().startswith("--")):
            continue
        current += line
        if _END.search(line.rstrip("\n")) and current.count("$$") % 2 == 0:
            statements.append(current.strip())
            current = ""
    return [*statements, current.strip()] if current.strip() else statements


def read(name: str) -> str:
    """A file of the migrations folder `versions`, or of `gateway.storage.schema` itself."""
    package = resources.files("gateway.storage.schema")
    place = package / "migrations" / "versions" / name
    return (place if place.is_file() else package / name).read_text(encoding="utf-8")


#: An index that is made outside of a transaction, and its table.
_MADE = re.compile(r"CREATE (?:UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (\w+)\s+ON ([\w.]+)")
_UNFINISHED = """
SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relname = '{}' AND i.indrelid = to_regclass('{}')
"""


def _drop_unfinished(statements: list[str]) -> None:
    """Remains of builds of these indexes that were broken off: of no use, and IF NOT EXISTS would keep them."""
    for made in filter(None, map(_MADE.match, statements)):
        if name := op.get_bind().exec_driver_sql(_UNFINISHED.format(*made.groups())).scalar():
            _run_alone(f"DROP INDEX CONCURRENTLY {name}")


def run_file(name: str) -> None:
    """Run a migration's file; one named `*.autocommit.sql` outside of a transaction (`CREATE INDEX CONCURRENTLY`)."""
    if name.endswith(".autocommit.sql"):
        with op.get_context().autocommit_block():
            statements = split(read(name))
            _drop_unfinished(statements)
            for statement in statements:
                _run_alone(statement)
            op.execute("RESET lock_timeout")
    else:
        op.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        for statement in split(read(name)):
            op.execute(statement)


def _run_alone(statement: str) -> None:
    """Run a statement that is committed by itself. If it does not get a lock it is repeated, and nothing before it:
    that cannot be made again.

    What is done CONCURRENTLY waits for locks for as long as it takes: nobody waits behind it.
    """
    is_patient = "CONCURRENTLY" in statement
    op.execute(f"SET lock_timeout = '{0 if is_patient else LOCK_SECONDS}s'")
    for pause in pauses():
        try:
            return op.execute(statement)
        except DBAPIError as error:
            if not is_without_lock(error):
                raise
            say(error, op.get_bind().execute(OLDEST).first(), pause)
        await_only(asyncio.sleep(pause))  # over an asynchronous connection: see `migrate`
