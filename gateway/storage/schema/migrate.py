"""Brings the gateway's own schema to the newest revision. Legacy tables are made for the embedded stack only."""

from __future__ import annotations

import asyncio
import logging

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from gateway.storage.database import connect
from gateway.storage.driver_errors import translated
from gateway.storage.preflight import DatabaseUnfit, check_migratable
from gateway.storage.schema.lock_waits import OLDEST, cause_of, is_without_lock, pauses, say
from gateway.storage.schema.revisions import known_revisions
from gateway.storage.schema.statements import read

log = logging.getLogger(__name__)

#: Advisory lock: two gateways that start together migrate one after the other.
_LOCK = 0x7461736B


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "gateway.storage.schema:migrations")
    return config


def _upgrade(connection: Connection, revision: str) -> str | None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    return _stored(connection)


def _stored(connection: Connection) -> str | None:
    """The revision that the schema is at; None: there is none yet."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": "taskgate"})
    return context.get_current_revision()


async def migrate(database_url: str, revision: str = "head") -> str | None:
    """Create or upgrade the schema `taskgate`; gives the revision that it is at. One of a later release stays as it is.
    Whoever migrates, what is made belongs to whom the gateway's tables belong to, at first to the owner of `task_logs`.

    Raises `DatabaseUnavailable`, `DatabaseUnfit` (not MemStack's database, or missing rights: nothing was changed).
    """
    with translated():
        looking = await connect(database_url, name="taskgate migrate")
        try:
            role = await check_migratable(looking)
        finally:
            await looking.close()
    # SQLAlchemy's URLs do not support several hosts.
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(database_url, name="taskgate migrate"),
        poolclass=NullPool,
        hide_parameters=True,
    )
    try:
        with translated():
            async with engine.connect() as guard, engine.connect() as connection:
                # Neither the holder nor waiting processes may keep a snapshot: CREATE INDEX CONCURRENTLY waits for it.
                guard = await guard.execution_options(isolation_level="AUTOCOMMIT")
                while not await guard.scalar(text(f"SELECT pg_try_advisory_lock({_LOCK})")):
                    await asyncio.sleep(0.1)
                if role is not None:
                    await connection.execute(text("SELECT set_config('role', :role, false)"), {"role": role})
                # IF NOT EXISTS wants the right to make one also where it exists; a restored database may not give it.
                if not await connection.scalar(text("SELECT to_regnamespace('taskgate') IS NOT NULL")):
                    await connection.execute(text("CREATE SCHEMA IF NOT EXISTS taskgate"))
                await connection.commit()
                stored = await connection.run_sync(_stored)
                await connection.commit()
                if stored is not None and stored not in known_revisions():
                    # As after the way back (docs/upgrading.md), where a deployment migrates first.
                    log.warning("the schema is at %s, of a later release: nothing to do", stored)
                    return stored
                return await _upgraded(connection, guard, revision)
    except DBAPIError as error:
        if isinstance(cause := cause_of(error), asyncpg.InsufficientPrivilegeError):
            raise DatabaseUnfit(f"rights are missing in the database: {cause}") from error
        raise
    finally:
        await engine.dispose()


async def _upgraded(connection: AsyncConnection, guard: AsyncConnection, revision: str) -> str | None:
    """The revision that was reached. A migration that does not get a lock soon is undone, and made again after a pause:
    it would wait behind whoever reads a table for long, as a backup does, and everybody else behind it."""
    for pause in pauses():
        try:
            reached = await connection.run_sync(_upgrade, revision)
            await connection.commit()
            return reached
        except DBAPIError as error:
            if not is_without_lock(error):
                raise
            await connection.rollback()
            say(error, (await guard.execute(OLDEST)).first(), pause)
        await asyncio.sleep(pause)
    raise AssertionError("it is tried again and again")


async def create_legacy_tables(database_url: str) -> None:
    """The tables of MemStack itself (contract §1, §6), for a database that has none. Raises `DatabaseUnavailable`."""
    with translated():
        connection = await connect(database_url)
        try:
            await connection.execute(read("legacy.sql"))
        finally:
            await connection.close()
