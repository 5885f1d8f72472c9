"""`taskgate task why`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.migration_ledger import entry_line
from gateway.cli.output import AsJson, print_json
from gateway.cli.text import utc


def why(task_id: Annotated[str, typer.Argument(help="Id of the task", metavar="ID")], as_json: AsJson = False) -> None:
    """Explain each start of a task: which setting decided, and how it was changed."""
    with GatewayClient() as gateway:
        answer = gateway.get(f"/gateway/v1/tasks/{quote(task_id, safe='')}/why")
    if as_json:
        print_json(answer)
        return
    whose = f"tenant {answer['tenant_id']}" if answer["tenant_id"] else "no tenant"
    typer.echo(f"task {answer['task_id']}, {whose}: {answer['state']}")
    for start in answer["starts"]:
        run = "" if start["attempt"] is None else f", run {start['attempt']}"
        began = "" if start["started_at"] is None else f" {utc(start['started_at'])}"
        outcome = f", {start['outcome']}" if start["outcome"] else ""
        decided = f"stage {start['stage'] or 'unknown'}, by {start['rule'] or 'a rule that was not recorded'}"
        typer.echo(f"start {start['epoch']}{run} on {start['backend']}{began}{outcome}: {decided}")
        typer.echo(
            f"  entry {entry_line(start['entry'])}" if start["entry"] else "  its entry of the ledger has expired"
        )
    if not answer["starts"]:
        typer.echo(f"it was not started yet ({answer['state']})")
    typer.echo(f"now: stage {answer['stage_now']}, by {answer['rule_now']}")
