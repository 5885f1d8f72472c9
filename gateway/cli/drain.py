"""`taskgate migration drain`: what is left for Redis, when it will be gone, and whether Redis may be switched off."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.following import follow
from gateway.cli.output import AsJson, print_json
from gateway.cli.table import table
from gateway.cli.task import short
from gateway.cli.text import utc

PATH = "/gateway/v1/migration/drain"
_SHOWN = (
    "queued",
    "running",
    "on_legacy_workers",
    "retrying",
    "delayed",
    "held",
    "past_gateway",
    "set_aside",
    "schedules",
)
_HEADER = ("queued", "running", "legacy", "retrying", "delayed", "held", "past gateway", "set aside", "schedules")


def drain(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Id of the tenant; default: all tenants")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show each change, until Ctrl-C")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what is left on Redis, when it will be done, and whether Redis may be switched off.

    With --watch and --json, each line is one object.
    """
    if watch:
        follow(f"{PATH}/stream", text_of, as_json=as_json, tenant_id=tenant)
        return
    with GatewayClient() as gateway:
        report = gateway.get(PATH, tenant_id=tenant)
    print_json(report) if as_json else typer.echo(text_of(report))


def text_of(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    whose = f"tenant {report['tenant_id']} ({report['stage']})" if report["tenant_id"] else "everybody"
    lines = [f"{whose} at {utc(report['at'])}: {report['verdict'].replace('_', ' ')}"]
    lines += [f"  blocked by: {line}" for line in report["blocked_by"]]
    of_all = " of all tenants" if report["tenant_id"] else ""
    redis = "redis could not be read" if report["redis"] is None else f"payloads{of_all} in redis: {report['redis']}"
    lines.append(f"tasks left: {report['tasks']} (rows in postgresql: {report['postgresql']}, {redis})")
    if report["tasks"]:
        lines.append(f"in {report['rate_in']:g}/s, out {report['rate_out']:g}/s; {_foretold(report)}")
    if report["past_gateway_at"]:
        lines.append(f"last pushed past the gateway at {utc(report['past_gateway_at'])}")
    if report["next_firing_at"]:
        lines.append(f"next schedule fires to redis at {utc(report['next_firing_at'])}")
    if report["tasks"] or report["counts"]["schedules"]:
        lines += ["", _table(report)]
    if report["slowest"]:
        rows = [[one["task_id"], one["task_type"], one["tenant_id"], short(one["why"])] for one in report["slowest"]]
        lines += ["", table(("slowest", "type", "tenant", "why"), rows)]
    lines += [f"note: {note}" for note in report["notes"]]
    if report["missing"]:
        lines += ["", "before redis may be switched off:", *(f"  {line}" for line in report["missing"])]
    return "\n".join(lines)


def _table(report: dict[str, Any]) -> str:
    whole = [report["tenant_id"] or "everybody", report["verdict"].replace("_", " "), *_counts(report), _eta(report)]
    rows = [
        [one["tenant_id"] or "(nobody)", one["verdict"].replace("_", " "), *_counts(one), _eta(one)]
        for one in report["tenants"]
    ]
    return table(("tenant", "verdict", *_HEADER, "gone in"), [*rows, whole])


def _counts(one: dict[str, Any]) -> list[int]:
    counts = one["counts"]
    found = {**counts, "held": counts["held_by_quota"] + counts["held_by_pause"]}
    return [found[name] for name in _SHOWN]


def _foretold(report: dict[str, Any]) -> str:
    eta = _eta(report)
    return f"gone in {eta}" if eta is not None else f"nobody knows when it is gone: {report['no_eta']}"


def _eta(one: dict[str, Any]) -> str | None:
    if (eta := one["eta"]) is None:
        return None
    return f"{_span(eta['seconds'])} ({_span(eta['low'])} to {_span(eta['high'])})"


def _span(seconds: float) -> str:
    """Two units at most."""
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
