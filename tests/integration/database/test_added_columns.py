"""A column that a migration adds changes no answer to the release before, which serves meanwhile.

A statement whose answer changes fails in the transaction in which that is found: PostgreSQL keeps to what was prepared.
"""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg

from gateway.storage.queries import Queries

ROOT = Path(__file__).parents[3]
TABLES = """
SELECT oid::regclass::text AS name FROM pg_class
WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('public', 'taskgate')
"""


def named() -> dict[str, str]:
    """All queries that stand in files, by file and name."""
    files = [file for folder in ("gateway", "workers") for file in (ROOT / folder).rglob("*.sql")]
    queries = {
        str(file.relative_to(ROOT)): Queries(".".join(file.parent.relative_to(ROOT).parts), file.name)
        for file in files
        if "schema" not in file.parts
    }
    return {
        f"{file}: {name}": getattr(queries[file], name)
        for file in queries
        for name in re.findall(r"^-- name: (\w+)", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    }


async def answers(connection: asyncpg.Connection) -> dict[str, list[str]]:
    """The columns of each answer; parts of statements have none."""
    found = {}
    for name, query in named().items():
        try:
            prepared = await connection.prepare(query)
        except asyncpg.PostgresError:
            continue
        found[name] = [column.name for column in prepared.get_attributes()]
    return found


async def test_no_answer_changes(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        before = await answers(connection)
        assert len(before) > 500
        for table in await connection.fetch(TABLES):
            await connection.execute(f"ALTER TABLE {table['name']} ADD COLUMN added_later text")
        after = await answers(connection)
    finally:
        await connection.close()
    assert {name: after[name] for name in before if after[name] != before[name]} == {}
