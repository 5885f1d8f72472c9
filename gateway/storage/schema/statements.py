"""Runs `.sql` files statement by statement (asyncpg prepares one statement at a time)."""

from __future__ import annotations

import re
from importlib import resources

from alembic import op

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


#: How long a statement of a migration may wait for a lock (seconds). Whoever comes after it for the same table waits
#: behind it: shorter than the renewal of a lease may take.
LOCK_SECONDS = 1

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
            op.execute(f"DROP INDEX CONCURRENTLY {name}")


def run_file(name: str) -> None:
    """Run a migration's file; one named `*.autocommit.sql` outside of a transaction (`CREATE INDEX CONCURRENTLY`).

    That waits for locks for as long as it takes: nobody waits behind it.
    """
    if name.endswith(".autocommit.sql"):
        with op.get_context().autocommit_block():
            statements = split(read(name))
            _drop_unfinished(statements)
            for statement in statements:
                op.execute(statement)
    else:
        op.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        for statement in split(read(name)):
            op.execute(statement)
