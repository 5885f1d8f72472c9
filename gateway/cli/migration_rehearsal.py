"""`taskgate migration rehearsal`: whether tenants' tasks, which run on Redis, could run on Temporal."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.given import refuse_before_subcommand
from gateway.cli.output import AsJson, fail, print_json
from gateway.cli.table import table
from gateway.cli.text import utc

rehearsal_app = typer.Typer(help="Rehearsals: stages dualwrite and shadow.")

PATH: Final = "/gateway/v1/migration/rehearsal"
#: Exit code when the asked-for tenant is not ready, or nothing is known of it.
NOT_READY: Final = 3
#: What is measured beside probes.
FIGURES: Final = {
    "wait on Temporal": "queue",
    "wait on Redis": "redis_queue",
    "decoding": "decode",
    "rehearse()": "rehearse",
    "run on Redis": "redis_run",
}
Tenant = Annotated[str, typer.Option("--tenant", help="Id of the tenant")]


@rehearsal_app.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant, with the reasons")] = None,
    hours: Annotated[
        int, typer.Option("--hours", min=1, help="Use the results of about the last this many hours")
    ] = 24,
    as_json: AsJson = False,
) -> None:
    """Show whether the tasks of tenants at dualwrite or shadow could run on Temporal, and why not.

    Exit code with --tenant: 0 if the tenant is ready, else 3.
    """
    if context.invoked_subcommand is not None:
        refuse_before_subcommand(context)
        return
    with GatewayClient() as gateway:
        found = gateway.get(PATH, tenant_id=tenant, hours=hours)["rehearsals"]
    if as_json:
        print_json(found)
    elif tenant is not None:
        typer.echo("\n".join(_lines(found[0])))
    else:
        nobody = 'nobody rehearses: taskgate flags set --tenant … --stage dualwrite --why "…"'
        typer.echo(_table(found) if found else nobody)
    if tenant is not None and found[0]["verdict"] != "ready":
        raise typer.Exit(NOT_READY)


@rehearsal_app.command("tasks")
def tasks(
    tenant: Tenant,
    verdict: Annotated[
        str | None, typer.Option("--verdict", help="Only tasks with this verdict: ready, not_ready or unknown")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Only tasks with the reason of this code")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=300, help="Maximum number of tasks")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest checked tasks, with the verdict and the reasons of each."""
    if verdict not in (None, "ready", "not_ready", "unknown"):
        fail(
            f"--verdict {verdict} is no verdict; write --verdict ready, --verdict not_ready or --verdict unknown",
            code=2,
        )
    with GatewayClient() as gateway:
        found = gateway.get(f"{PATH}/tasks", tenant_id=tenant, verdict=verdict, reason=reason, limit=limit)["tasks"]
    if as_json:
        print_json(found)
        return
    rows = [
        [one["task_id"], one["task_type"], utc(one["at"]), one["stage"], one["verdict"], _reasons(one)] for one in found
    ]
    typer.echo(table(("task", "type", "at", "stage", "verdict", "reasons"), rows) if found else "no tasks")


@rehearsal_app.command("probes")
def probes(
    tenant: Tenant,
    hours: Annotated[
        int, typer.Option("--hours", min=1, help="Use the results of about the last this many hours")
    ] = 24,
    as_json: AsJson = False,
) -> None:
    """List the newest probes: how each ended, and how long it and its task waited for a worker."""
    with GatewayClient() as gateway:
        found = gateway.get(f"{PATH}/probes", tenant_id=tenant, hours=hours)["probes"]
    if as_json:
        print_json(found)
        return
    header = ("task", "type", "sent", "outcome", "wait Temporal", "wait Redis", "decoding", "rehearse()", "detail")
    names = ("queue_seconds", "redis_queue_seconds", "decode_seconds", "run_seconds")
    rows = [
        [one["task_id"], one["task_type"], utc(one["sent_at"]), one["outcome"]]
        + [None if one[name] is None else f"{one[name]:.3f}" for name in names]
        + [one["detail"]]
        for one in found
    ]
    typer.echo(table(header, rows) if found else "no probes")


def _table(found: list[dict[str, Any]]) -> str:
    header = ("tenant", "stage", "verdict", "ready", "not ready", "unknown", "left out", "waiting", "note")
    return table(
        header,
        [
            [
                one["tenant_id"],
                one["stage"],
                one["verdict"],
                *(one[name] for name in ("ready", "not_ready", "unknown", "left_out", "waiting")),
                one["note"],
            ]
            for one in found
        ],
    )


def _lines(one: dict[str, Any]) -> list[str]:
    behind = f", the oldest for {one['behind_seconds']} s" if one["waiting"] else ""
    lines = [
        f"tenant {one['tenant_id']}, stage {one['stage']}: {one['verdict']}",
        f"  {one['note']}",
        f"  ready        {one['ready']}",
        f"  not ready    {one['not_ready']}",
        f"  unknown      {one['unknown']}",
        f"  left out     {one['left_out']}",
        f"  waiting      {one['waiting']}{behind}",
    ]
    if one["reasons"]:
        lines += ["", _reason_table("tasks", one["reasons"])]
    probes = one["probes"]
    if one["stage"] == "shadow" or any(probes[name] for name in ("good", "failed", "unanswered")):
        lines += ["", *_probe_lines(probes)]
    return lines


def _probe_lines(probes: dict[str, Any]) -> list[str]:
    lines = [
        f"probes: {probes['good']} good ({probes['rehearsed']} rehearsed), {probes['failed']} failed,"
        f" {probes['unanswered']} unanswered"
    ]
    rows = [
        [what, spread["tasks"], f"{spread['median']:.3f}", f"{spread['p95']:.3f}"]
        for what, name in FIGURES.items()
        if (spread := probes[name]) is not None
    ]
    if rows:
        lines.append(table(("seconds", "tasks", "median", "p95"), rows))
    if probes["reasons"]:
        lines += ["", _reason_table("probes", probes["reasons"])]
    return lines


def _reason_table(what: str, reasons: list[dict[str, Any]]) -> str:
    rows = [
        [why["tasks"], why["weight"], why["code"], ", ".join(why["task_types"]), why["meaning"], why["advice"]]
        for why in reasons
    ]
    return table((what, "weight", "reason", "types", "meaning", "what to do"), rows)


def _reasons(task: dict[str, Any]) -> str:
    return ", ".join(f"{one['code']}{' (' + one['detail'] + ')' if one['detail'] else ''}" for one in task["reasons"])
