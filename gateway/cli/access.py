"""`taskgate access …`: who does what beyond its roles."""

from __future__ import annotations

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.output import AsJson, print_json
from gateway.cli.table import table
from gateway.cli.text import utc

access_app = typer.Typer(
    help="Requests on legacy endpoints beyond the roles of their keys. For administrators.", no_args_is_help=True
)


@access_app.callback()
def access() -> None:
    """Requests on legacy endpoints beyond the roles of their keys. For administrators."""


@access_app.command("legacy-use")
def legacy_use(as_json: AsJson = False) -> None:
    """List requests to legacy endpoints that TASKGATE_ENFORCE_LEGACY_ROLES would refuse."""
    with GatewayClient() as gateway:
        uses = gateway.get("/gateway/v1/legacy-use")["uses"]
    if as_json:
        print_json(uses)
        return
    rows = [
        [
            use["key_id"],
            use["key_name"] or "gone",
            use["user_id"] or "",
            use["verb"],
            str(use["requests"]),
            utc(use["last_at"]),
        ]
        for use in uses
    ]
    typer.echo(table(("key", "name", "user", "verb", "requests", "last"), rows) if rows else "nobody")
