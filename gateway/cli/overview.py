"""`taskgate overview`: how tasks flow, and what needs attention."""

from __future__ import annotations

from typing import Any

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.output import AsJson, print_json
from gateway.cli.table import table

_COUNTS = ("waiting", "later", "held", "running", "completed", "failed", "stopped", "dead")
_SECONDS = ("oldest_seconds", "dispatch_p50_seconds", "dispatch_p95_seconds")
_ABOUT = ("tenant_id", "project_id", "task_type", "backend", "plan")
_WORDS = {
    "engine_away": "backend away",
    "no_worker": "no worker",
    "tenant_taken_back": "taken back by its guardrail",
    "guardrails_frozen": "guardrails are frozen",
    "plan_held": "plan is held",
    "dead_letters_grow": "dead letters grow",
    "paused": "paused",
    "routing": "routing",
}


def overview(as_json: AsJson = False) -> None:
    """Number of tasks by backend and state, and what needs attention."""
    with GatewayClient() as gateway:
        found = gateway.get("/gateway/v1/overview")
    if as_json:
        print_json(found)
        return
    header = ("backend", *_COUNTS, "oldest s", "p50 s", "p95 s")
    rows = [_row(flow, found["most"]) for flow in found["flows"]]
    typer.echo(f"completed, failed, stopped and waits: of the last {found['window_seconds'] / 60:g} minutes")
    typer.echo(table(header, rows))
    typer.echo("\n" + "\n".join(_line(one) for one in found["concerns"]) if found["concerns"] else "\nall is well")


def _row(flow: dict[str, Any], most: int) -> list[object]:
    counts = [f"{most}+" if flow[name] >= most else flow[name] for name in _COUNTS]
    return [flow["backend"] or "none yet", *counts, *(flow[name] and round(flow[name], 3) for name in _SECONDS)]


def _line(one: dict[str, Any]) -> str:
    about = ", ".join(one[name] for name in _ABOUT if one[name] is not None)
    count = "" if one["tasks"] is None else f"{one['tasks']} task{'' if one['tasks'] == 1 else 's'}"
    return ": ".join(part for part in (_WORDS.get(one["kind"], one["kind"]), about, count, one["says"] or "") if part)
