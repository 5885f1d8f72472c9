"""`taskgate migration preview`: what a change of stages would have done to the tasks of the last hours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.output import AsJson, print_result
from gateway.cli.table import table
from gateway.cli.text import utc

PATH: Final = "/gateway/v1/migration/preview"
#: A preview may take so long (seconds).
PATIENCE: Final = 200
Hours = Annotated[
    int, typer.Option("--hours", min=1, max=168, help="Use the tasks that were created in the last this many hours")
]


def preview(
    stage: Annotated[str | None, typer.Option("--stage", help="Preview this stage")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="With --stage: the scope is this tenant")] = None,
    project: Annotated[str | None, typer.Option("--project", help="With --stage: the scope is this project")] = None,
    task_type: Annotated[str | None, typer.Option("--type", help="With --stage: the scope is this task type")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="With --stage: the default, which applies where nothing else is set")
    ] = False,
    percent: Annotated[
        float | None, typer.Option("--percent", min=0, max=100, help="With --stage: this percentage of the default")
    ] = None,
    unit: Annotated[
        str, typer.Option("--by", help="With --percent: move whole tenants (tenant) or single tasks (task)")
    ] = "tenant",
    plan: Annotated[str | None, typer.Option("--plan", help="Preview this stored plan")] = None,
    hours: Hours = 24,
    as_json: AsJson = False,
) -> None:
    """Show what a stage, a percentage or a plan would have done to the recorded tasks. Changes nothing."""
    body = {
        "stage": stage,
        "tenant_id": tenant,
        "project_id": project,
        "task_type": task_type,
        "everything": everything,
        "percent": percent,
        "unit": unit,
        "plan": plan,
        "hours": hours,
    }
    with GatewayClient() as gateway:
        given = {name: value for name, value in body.items() if value is not None}
        answer = gateway.call("POST", PATH, body=given, timeout=PATIENCE)
    print_result(answer, preview_text(answer), as_json=as_json)


def dry_run(
    plan: Annotated[str, typer.Argument(help="A file (YAML or JSON), or the name of a stored plan")],
    hours: Hours = 24,
    as_json: AsJson = False,
) -> None:
    """Show what each wave of a plan would have done to the recorded tasks. If the plan has errors, print all of
    them."""
    with GatewayClient() as gateway:
        file = Path(plan)
        if file.is_file():
            kind = "application/json" if file.suffix == ".json" else "application/yaml"
            answer = gateway.call(
                "POST",
                "/gateway/v1/migration/plans/dry-run",
                query={"hours": hours},
                content=file.read_bytes(),
                headers={"Content-Type": kind},
                timeout=PATIENCE,
            )
        else:
            answer = gateway.call("POST", PATH, body={"plan": plan, "hours": hours}, timeout=PATIENCE)
    print_result(answer, preview_text(answer), as_json=as_json)


def preview_text(answer: dict[str, Any]) -> str:
    """What a person reads of it."""
    asked = f", {answer['sampled']} of them asked about one by one" if answer["sampled"] else ""
    lines = [f"{answer['tasks']} tasks from {utc(answer['since'])} to {utc(answer['until'])}{asked}"]
    steps = [
        [
            *(number, one["title"], one["stage"], one["tenants"]),
            *(_count(one[kind]) for kind in ("to_temporal", "to_redis", "restaged")),
            ", ".join(f"{pool['pool']} {pool['slots']} of {pool['slots_now']}" for pool in one["pools"]) or None,
        ]
        for number, one in enumerate(answer["steps"], 1)
    ]
    header = ("step", "what", "stage", "tenants", "to Temporal", "to Redis", "restaged", "slots needed of those now")
    lines.append(table(header, steps))
    types = [
        [number, one["task_type"], one["recorded"], *(_count(one[kind]) for kind in ("to_temporal", "to_redis"))]
        for number, step in enumerate(answer["steps"], 1)
        for one in step["by_type"]
    ]
    if types:
        lines += ["", table(("step", "type", "recorded", "to Temporal", "to Redis"), types)]
    if (simulated := answer["simulation"]) is not None:
        tiers = [
            [one["tier"], one["tasks"], *(f"{one[name]:.2f}" for name in ("mean", "p50", "p95", "p99"))]
            for one in simulated["tiers"]
        ]
        slots = ", ".join(f"{pool} {count}" for pool, count in simulated["slots"].items())
        lines += ["", f"waits on Temporal after the last step, simulated with slots {slots}:"]
        lines.append(table(("tier", "tasks", "mean s", "P50 s", "P95 s", "P99 s"), tiers))
    starts = answer["starts"]
    if starts["looked_at"]:
        counts = ", ".join(f"{starts[name]} {name.replace('_', ' ')}" for name in ("ready", "not_ready", "unknown"))
        lines += ["", f"starts of {starts['looked_at']} of these tasks on Temporal: {counts}"]
        lines += [f"  {one['code']} ({one['tasks']}): {one['meaning']}; {one['advice']}" for one in starts["reasons"]]
    if answer["by_reference"]:
        lines.append(f"{answer['by_reference']} payloads are too large for Temporal: its workers read them")
    for one in answer["quotas"]:
        whose = f"tenant {one['tenant_id']}" + (f", project {one['project_id']}" if one["project_id"] else "")
        over = f"{one['most']} of {one['at_most']}, {one['tasks']} tasks beyond it are {one['effect']}"
        lines.append(f"quota {one['quota']} of {whose}: {over}, on whichever engine")
    return "\n".join([*lines, *(f"note: {note}" for note in answer["notes"])])


def _count(count: dict[str, int]) -> str:
    spread = f" ({count['low']} to {count['high']})" if count["low"] != count["high"] else ""
    return f"{count['tasks']}{spread}"
