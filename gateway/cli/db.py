"""`taskgate db`: the gateway's schema; legacy tables and demo tenants for the embedded stack."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from gateway.settings import Settings, read_settings

# Alembic is imported where it is used: it takes longer than all else that a command needs.

db_app = typer.Typer(help="The database.", no_args_is_help=True)


@db_app.command("migrate")
def migrate_command() -> None:
    """Create or upgrade the gateway's own schema."""
    from gateway.storage.schema.migrate import migrate

    asyncio.run(migrate(read_settings().database_url))


@db_app.command()
def legacy(
    create: Annotated[
        bool, typer.Option("--create", help="Create MemStack's own tables where they are missing")
    ] = False,
) -> None:
    """MemStack's own tables, for a database that has none (embedded stack)."""
    if not create:
        print("Nothing done. With --create, MemStack's tables are created where they are missing.")
        return
    from gateway.storage.schema.migrate import create_legacy_tables

    asyncio.run(create_legacy_tables(Settings().database_url))


@db_app.command("seed")
def seed_command(
    keys_from: Annotated[Path | None, typer.Option(help="Keep the keys that this env file holds")] = None,
) -> None:
    """Demo tenants with a project, a user and a key each, and an administrator; prints KEY=VALUE lines."""
    from gateway.storage.schema.seed import read_keys, seed

    for name, value in asyncio.run(seed(Settings().database_url, read_keys(keys_from))).items():
        print(f"{name}={value}")
