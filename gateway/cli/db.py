"""`taskgate db`: the gateway's schema; legacy tables and demo tenants for the embedded stack."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import AsJson, print_json, print_result
from gateway.settings import Settings, read_settings

# Alembic is imported where it is used: it takes longer than all else that a command needs.

db_app = typer.Typer(help="The database.", no_args_is_help=True)


@db_app.command("migrate")
def migrate_command(as_json: AsJson = False) -> None:
    """Create or upgrade the gateway's own schema."""
    from gateway.storage.schema.migrate import migrate

    revision = asyncio.run(migrate(read_settings().database_url))
    if as_json:
        print_json({"revision": revision})


@db_app.command()
def legacy(
    create: Annotated[bool, typer.Option("--create", help="Create MemStack's own tables if they are missing")] = False,
    as_json: AsJson = False,
) -> None:
    """MemStack's own tables, for a database that has none (embedded stack)."""
    if not create:
        text = "Nothing done. With --create, MemStack's tables are created where they are missing."
        print_result({"created": False}, text, as_json=as_json)
        return
    from gateway.storage.schema.migrate import create_legacy_tables

    asyncio.run(create_legacy_tables(Settings().database_url))
    if as_json:
        print_json({"created": True})


@db_app.command("seed")
def seed_command(
    keys_from: Annotated[Path | None, typer.Option(help="Keep the keys in this env file")] = None,
    as_json: AsJson = False,
) -> None:
    """Demo tenants with a project, a user and a key each, and an administrator; prints KEY=VALUE lines."""
    from gateway.storage.schema.seed import read_keys, seed

    values = asyncio.run(seed(Settings().database_url, read_keys(keys_from)))
    print_result(values, "\n".join(f"{name}={value}" for name, value in values.items()), as_json=as_json)
