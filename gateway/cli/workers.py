"""`taskgate workers`: the fleet as a table, once or live; and one worker that is to leave."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from itertools import count
from typing import Annotated, Any
from urllib.parse import quote

import typer
from typer.core import TyperGroup

from gateway.cli.client import GatewayClient
from gateway.cli.given import refuse
from gateway.cli.output import AsJson, json_text
from gateway.cli.table import table

#: Cursor home, and clear: what a terminal does to show the next picture in place of the last.
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"
_HEADER = ("worker", "pool", "backend", "host", "pid", "version", "slots", "used", "state", "seen", "up", "types")


class _ShowsOtherwise(TyperGroup):
    """`taskgate workers`, `taskgate workers ID` and their options show; ids are no names of commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer's, with the command that is meant."""
        return super().parse_args(
            ctx, args if args and (args[0] in self.commands or args[0] == "--help") else ["show", *args]
        )


workers_app = typer.Typer(
    help="Show the workers (`taskgate workers [ID]`, options: `show --help`), drain one. For administrators.",
    cls=_ShowsOtherwise,
)


@workers_app.command()
def drain(
    process_id: Annotated[str, typer.Argument(help="Id of the worker")],
    why: Annotated[str, typer.Option("--why", help="Reason, for the audit log")],
    as_json: AsJson = False,
) -> None:
    """Drain a worker: it takes no more tasks, finishes those that it runs, and ends. It is not replaced."""
    with GatewayClient() as gateway:
        member = gateway.call("POST", f"/gateway/v1/workers/{quote(process_id, safe='')}/drain", body={"why": why})
    typer.echo(json_text(member) if as_json else f"{process_id} drains: it runs {member['slots_used']} tasks")


@workers_app.command()
def show(
    context: typer.Context,
    process_id: Annotated[str | None, typer.Argument(help="Id of one worker, to show its running tasks")] = None,
    pool: Annotated[str | None, typer.Option("--pool", help="Only workers of this pool: A, B, C or redis")] = None,
    backend: Annotated[
        str | None, typer.Option("--backend", help="Only workers of this backend: temporal or redis")
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Show gateways, and processes that ended or were lost within the last day, too"),
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat the output until Ctrl-C")] = False,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, max=3600, help="Seconds between two outputs")] = 2.0,
    times: Annotated[int | None, typer.Option("--times", min=1, help="End --watch after this many outputs")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the workers: pool, host, version, slots, running tasks, last sign of life. For administrators."""
    if process_id is not None:
        refuse(context, "pool", "backend", "everything", says="chooses among workers; leave it or the id out")
    if not watch:
        refuse(context, "seconds", "times", says="goes with --watch")
    with GatewayClient() as gateway:
        try:
            for turn in count(1):
                text = _picture(gateway, process_id, pool, backend, everything=everything, as_json=as_json)
                typer.echo((_CLEAR if watch and sys.stdout.isatty() else "") + text)
                if not watch or turn == times:
                    return
                time.sleep(seconds)
        except KeyboardInterrupt:
            return


def _picture(
    gateway: GatewayClient,
    process_id: str | None,
    pool: str | None,
    backend: str | None,
    *,
    everything: bool,
    as_json: bool,
) -> str:
    if process_id is not None:
        answer = gateway.get(f"/gateway/v1/workers/{quote(process_id, safe='')}")
        return json_text(answer) if as_json else _one(answer)
    kind = "all" if everything else "worker"
    found = gateway.get("/gateway/v1/workers", kind=kind, pool=pool, backend=backend, gone=everything)["workers"]
    return json_text(found) if as_json else _many(found, datetime.now(UTC))


def _many(members: list[dict[str, Any]], now: datetime) -> str:
    if not members:
        return "no workers"
    living = [member for member in members if member["kind"] == "worker" and member["state"] in ("alive", "silent")]
    slots, used = (sum(member[name] for member in living) for name in ("slots", "slots_used"))
    hosts = len({member["host"] for member in living})
    head = f"{now:%H:%M:%S} UTC  {len(living)} workers on {hosts} hosts, {used} of {slots} slots in use"
    return f"{head}\n{table(_HEADER, [_row(member, now) for member in members])}"


def _row(member: dict[str, Any], now: datetime) -> list[object]:
    seen = member["last_seen"]
    return [
        member["process_id"],
        member["pool"],
        member["backend"] or member["kind"],
        member["host"].partition("/")[0],
        member["pid"],
        member["version"],
        member["slots"],
        member["slots_used"],
        member["state"],
        None if seen is None else f"{_age(seen, now)} ago",
        _age(member["started_at"], now),
        ",".join(member["task_types"]) or None,
    ]


def _one(member: dict[str, Any]) -> str:
    now = datetime.now(UTC)
    lines = [f"{name:<8} {value}" for name, value in zip(_HEADER, _row(member, now), strict=True) if value is not None]
    if member["drain_at"] is not None:
        lines.append(f"drains   since {_age(member['drain_at'], now)}, by {member['drain_by']}: {member['drain_why']}")
    running = member["running"]
    if running:
        header = ("task", "type", "tenant", "project", "attempt", "queue", "seconds")
        rows = [
            [
                *(task[name] for name in ("task_id", "task_type", "tenant_id", "project_id", "attempt", "queue")),
                round(task["seconds"], 1),
            ]
            for task in running
        ]
        lines += ["", table(header, rows)]
    else:
        lines += ["", "runs nothing"]
    return "\n".join(lines)


def _age(text: str, now: datetime) -> str:
    seconds = max(0, round((now - datetime.fromisoformat(text)).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
