"""Fills the tables of tasks with millions of rows in a short time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from deploy.local.stack import EmbeddedStack
from gateway.storage.queries import Queries

SQL = Queries("tests.performance", "filling.sql")

#: Would look at tables without indexes.
_READERS = ("gateway", "worker-redis")


@asynccontextmanager
async def filling(stack: EmbeddedStack, database: asyncpg.Connection) -> AsyncIterator[None]:
    """Inside, the tables have only the indexes of their keys: to make the others afterwards takes a third of the time.

    At the end all is vacuumed and on the disk, so that what is measured then does not wait for that.
    """
    for part in _READERS:
        await stack.part(part).stop()
    await database.execute("SET synchronous_commit = off")
    await database.execute("SET maintenance_work_mem = '1GB'")
    await database.execute("ALTER SYSTEM SET autovacuum = off")
    await database.execute("SELECT pg_reload_conf()")
    indexes = await database.fetch(SQL.indexes)
    for index in indexes:
        await database.execute(f"DROP INDEX {index['name']}")
    yield
    for index in indexes:
        await database.execute(index["definition"])
    await database.execute("VACUUM ANALYZE")
    await database.execute("CHECKPOINT")
    await database.execute("ALTER SYSTEM RESET autovacuum")
    await database.execute("SELECT pg_reload_conf()")
    for part in _READERS:
        await stack.part(part).start()
