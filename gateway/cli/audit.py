"""`taskgate audit …`: who changed what, and why, by a running gateway's record."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.output import AsJson, print_json
from gateway.cli.table import table

audit_app = typer.Typer(help="The audit log: who changed what, and why. For administrators.", no_args_is_help=True)

PATH = "/gateway/v1/audit"
Action = Annotated[str | None, typer.Option("--action", help="Only entries whose action begins with this, e.g. `key.`")]
Who = Annotated[str | None, typer.Option("--who", help="Only changes by this user")]
Subject = Annotated[str | None, typer.Option("--subject", help="Only changes of this subject, e.g. `tenant:acme`")]
Since = Annotated[str | None, typer.Option("--since", help="Only entries from this time on, ISO 8601 with offset")]
Before = Annotated[str | None, typer.Option("--before", help="Only entries before this time, ISO 8601 with offset")]


@audit_app.command("list")
def list_entries(
    action: Action = None,
    who: Who = None,
    subject: Subject = None,
    since: Since = None,
    before: Before = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of entries")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the entries of the audit log, newest first."""
    which = {"action": action, "who": who, "subject": subject, "since": since, "before": before}
    with GatewayClient() as gateway:
        found, _ = gateway.listed(PATH, "entries", limit, 1000, **which)
    if as_json:
        print_json(found)
        return
    rows = [
        [one["id"], one["at"], one["action"], one["subject"], one["who"], one["source"], one["why"]] for one in found
    ]
    typer.echo(table(("entry", "at", "action", "subject", "who", "by", "why"), rows) if rows else "no entries")


@audit_app.command("export")
def export(
    action: Action = None,
    who: Who = None,
    subject: Subject = None,
    since: Since = None,
    before: Before = None,
    after: Annotated[
        int | None, typer.Option("--after", min=0, help="Only events after the event with this id")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the audit log as CloudEvents with OCSF API Activity, oldest first: one per line, or one batch with
    --json."""
    which = {"action": action, "who": who, "subject": subject, "since": since, "before": before, "after": after}
    found: list[dict[str, Any]] = []
    cursor = None
    with GatewayClient() as gateway:
        while (page := gateway.get(f"{PATH}/events", **which, cursor=cursor, limit=1000))["events"]:
            cursor = page["next_cursor"]
            if as_json:
                found += page["events"]
                continue
            for event in page["events"]:
                typer.echo(json.dumps(event))
    if as_json:
        print_json(found)
