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


def run_file(name: str) -> None:
    """Run a migration's file; one named `*.autocommit.sql` outside of a transaction (`CREATE INDEX CONCURRENTLY`)."""
    if name.endswith(".autocommit.sql"):
        with op.get_context().autocommit_block():
            for statement in split(read(name)):
                op.execute(statement)
    else:
        for statement in split(read(name)):
            op.execute(statement)
