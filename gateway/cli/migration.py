"""`taskgate migration …`: how far the move from Redis to Temporal is."""

from __future__ import annotations

import typer

from gateway.cli.drain import drain

migration_app = typer.Typer(
    help="How far the move from Redis to Temporal is. For administrators.", no_args_is_help=True
)
migration_app.command("drain")(drain)


@migration_app.callback()
def _group() -> None:
    """How far the move from Redis to Temporal is. For administrators."""
