"""`taskgate migration …`: the move of tenants between backends."""

from __future__ import annotations

import typer

from gateway.cli.migration_rampdown import rampdown

migration_app = typer.Typer(help="The move of tenants between backends. For administrators.", no_args_is_help=True)
migration_app.command("rampdown")(rampdown)
