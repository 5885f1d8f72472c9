"""`taskgate migration rampdown`: what of a tenant moves out of Redis, and what stays and why."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.output import AsJson, print_json
from gateway.cli.table import table

PATH: Final = "/gateway/v1/migration/rampdown"
#: What is said of each reason.
REASONS: Final = {
    "running": "it runs",
    "starting": "its start is under way; it moves when that is over",
    "legacy_worker": "a legacy worker has it",
    "legacy_worker_before": "a legacy worker had it, and may still run it",
    "redrive": "a redrive asked for this backend",
    "dag": "it belongs to a run of a DAG",
}


def rampdown(
    tenant: Annotated[str, typer.Option("--tenant", help="Id of the tenant")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report as if the tenant were at stage rampdown")] = False,
    as_json: AsJson = False,
) -> None:
    """Show which unfinished tasks of a tenant move out of Redis now, and which stay and why. Changes nothing.

    The stage moves the tasks: `taskgate flags set --tenant … --stage rampdown`.
    """
    with GatewayClient() as gateway:
        answer = gateway.get(PATH, tenant_id=tenant, dry_run=str(dry_run).lower())
    if as_json:
        print_json(answer)
        return
    typer.echo("\n".join(_lines(answer)))


def _lines(answer: dict[str, Any]) -> list[str]:
    would = "would move" if answer["dry_run"] else "to be moved"
    lines = [
        f"tenant {answer['tenant_id']}, stage {answer['stage']}",
        f"  {would:<12} {answer['moves']}" + (f" ({answer['goes_back']} back)" if answer["goes_back"] else ""),
        f"  on the way   {answer['on_the_way']}",
        f"  later        {answer['later']}",
        f"  held         {answer['held']}",
    ]
    if answer["problem"]:
        lines.append(f"  problem      {answer['problem']}")
    if answer["stays"]:
        rows = [[one["tasks"], _reason(one["why"])] for one in answer["stays"]]
        lines += ["", table(("stays", "because"), rows)]
    return lines


def _reason(why: str) -> str:
    return REASONS.get(why) or f"its stage is {why.removeprefix('stage_')}"
