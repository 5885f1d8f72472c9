"""`taskgate migration ledger`: who changed the routing, what ran under each change, and whether that is all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import asyncpg
import typer

from gateway.cli.client import GatewayClient
from gateway.cli.given import refuse_before_subcommand
from gateway.cli.output import AsJson, fail, print_json, print_result
from gateway.cli.table import table
from gateway.cli.text import utc
from gateway.settings import read_settings
from gateway.storage.database import Database

ledger_app = typer.Typer(help="The flip ledger: changes of routing.")

_PATH = "/gateway/v1/migration/ledger"
_LARGEST_PAGE = 200
#: Exit code of `verify` when the ledger is not as it was written.
BROKEN = 3


@ledger_app.callback(invoke_without_command=True)
def list_flips(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only changes that may concern this tenant")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only changes from this time on, ISO 8601 with offset")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of changes")] = 50,
    as_json: AsJson = False,
) -> None:
    """List changes of routing, newest first, with the tasks that ran under each and how they ended."""
    if context.invoked_subcommand is not None:
        refuse_before_subcommand(context)
        return
    with GatewayClient() as gateway:
        found, last = gateway.listed(_PATH, "flips", limit, _LARGEST_PAGE, tenant_id=tenant, since=since)
    if as_json:
        print_json(found)
        return
    header = ("entry", "at", "scope", "before", "after", "by", "source", "why", "tasks since")
    typer.echo(table(header, [_row(flip) for flip in found]) if found else "no changes")
    if last["next_cursor"] is not None:
        typer.echo(f"there are more than {limit}", err=True)


@ledger_app.command("verify")
def verify_command(as_json: AsJson = False) -> None:
    """Verify every entry: that none was changed, removed or inserted."""
    with GatewayClient() as gateway:
        verdict = gateway.get(f"{_PATH}/verification")
    lines = [f"entry {one['entry_id']}: {one['problem']}" for one in verdict["breaks"]]
    word = "sound" if verdict["is_sound"] else "BROKEN"
    expired = f", {verdict['expired_months']} months expired" if verdict["expired_months"] else ""
    lines.append(
        f"{word}: {verdict['entries']} entries{expired}; the last, {verdict['last_id']}: {verdict['last_hash']}"
    )
    print_result(verdict, "\n".join(lines), as_json=as_json)
    if not verdict["is_sound"]:
        raise typer.Exit(BROKEN)


@ledger_app.command("expire")
def expire_command(
    before: Annotated[str, typer.Option("--before", help="The first month that is kept, e.g. 2026-01")],
    as_json: AsJson = False,
) -> None:
    """Delete the entries of whole months. Each month leaves its closing hash. Run this as the owner
    (TASKGATE_DATABASE_URL)."""
    from gateway.migration.ledger.verification import expire

    try:
        month = datetime.strptime(before, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError:
        fail(f"--before {before} is no month; write year and month, such as --before 2026-01", code=2)

    async def run() -> list[str]:
        database = Database(read_settings().database_url, size=2, statement_timeout=600)
        try:
            return [f"{gone:%Y-%m}" for gone in await expire(database, month)]
        finally:
            await database.close()

    try:
        months = asyncio.run(run())
    except asyncpg.InsufficientPrivilegeError:
        fail("only the owner of the ledger may expire its months: set TASKGATE_DATABASE_URL to its", code=2)
    print_result({"months": months}, f"expired: {', '.join(months) or 'nothing'}", as_json=as_json)


def entry_line(entry: dict[str, Any]) -> str:
    """An entry in one line."""
    by = f" by {entry['who']}" if entry["who"] else ""
    stages = f": {entry['before'] or '–'} to {entry['after'] or '–'}" if entry["before"] or entry["after"] else ""
    return f"{entry['id']}  {utc(entry['at'])}  {entry['scope']}{stages}{by} ({entry['source']}): {entry['why']}"


def _row(flip: dict[str, Any]) -> list[object]:
    setting = (flip["evidence"] or {}).get("setting")
    tasks = ", ".join(f"{count} {state}" for state, count in sorted(flip["tasks"].items()))
    return [
        flip["id"],
        utc(flip["at"]),
        flip["scope"],
        flip["before"],
        flip["after"] or setting,
        flip["who"],
        flip["source"],
        flip["why"],
        tasks or None,
    ]
