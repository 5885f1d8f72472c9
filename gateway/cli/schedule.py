"""`taskgate schedule …`: schedules of a running gateway, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.output import AlwaysJson, AsJson, fail, print_json, print_result
from gateway.cli.table import table
from gateway.cli.text import json_object, read_text, utc

schedule_app = typer.Typer(help="Schedules: tasks that are submitted repeatedly.", no_args_is_help=True)

_PATH = "/gateway/v1/schedules"
Id = Annotated[str, typer.Argument(help="Id of the schedule", metavar="ID")]
Why = Annotated[str | None, typer.Option("--note", help="Note, for example why the schedule is paused")]
Policy = Annotated[
    str | None,
    typer.Option(
        "--overlap", help="If an earlier task is not over: skip, buffer_one, buffer_all, cancel_other or allow_all"
    ),
]


@schedule_app.command("create")
def create(
    name: Annotated[str | None, typer.Option("--name", help="A name for people")] = None,
    task_type: Annotated[str | None, typer.Option("--type", help="Type of its tasks, e.g. rebuild_communities")] = None,
    payload: Annotated[str | None, typer.Option("--payload", help="Payload of its tasks, a JSON object")] = None,
    cron: Annotated[
        list[str] | None,
        typer.Option("--cron", help="Cron expression with five or six fields, or @daily …; repeatable"),
    ] = None,
    every: Annotated[int | None, typer.Option("--every", help="Interval in seconds")] = None,
    at: Annotated[list[str] | None, typer.Option("--at", help="A date and time, ISO 8601; repeatable")] = None,
    timezone: Annotated[str | None, typer.Option("--timezone", help="Time zone (IANA name); default: UTC")] = None,
    jitter: Annotated[float | None, typer.Option("--jitter", help="Longest random delay, in seconds")] = None,
    overlap: Policy = None,
    catch_up: Annotated[
        float | None,
        typer.Option("--catch-up", help="A missed time still fires if it is at most this many seconds old"),
    ] = None,
    start: Annotated[str | None, typer.Option("--start", help="First possible time, ISO 8601 with offset")] = None,
    end: Annotated[str | None, typer.Option("--end", help="Last possible time, ISO 8601 with offset")] = None,
    runs: Annotated[int | None, typer.Option("--runs", help="Number of tasks after which it ends")] = None,
    priority: Annotated[
        int | None, typer.Option("--priority", help="Priority of its tasks, from 1 (first) to 5 (last)")
    ] = None,
    project: Annotated[str | None, typer.Option("--project", help="Project of its tasks")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Tenant of its tasks; default: your own")] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Create it paused")] = False,
    note: Why = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="The whole definition as JSON (- is standard input); options add to it"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a schedule, and print its id and its next times."""
    document = {} if file is None else json_object(read_text(file), str(file))
    action, specs = document.setdefault("action", {}), document.setdefault("specs", [])
    if not isinstance(action, dict):
        fail(f'"action" in {file} is no object; write one such as {{"type": "rebuild_communities"}}', code=2)
    if not isinstance(specs, list):
        fail(f'"specs" in {file} is no array; write one such as [{{"cron": "@daily"}}]', code=2)
    specs += [{"cron": expression} for expression in cron or []]
    specs += [] if every is None else [{"every_seconds": every}]
    specs += [{"at": at}] if at else []
    _put(
        document,
        name=name,
        timezone=timezone,
        jitter_seconds=jitter,
        overlap=overlap,
        catch_up_seconds=catch_up,
        start_at=start,
        end_at=end,
        remaining_runs=runs,
        paused=paused or None,
        note=note,
    )
    _put(action, type=task_type, priority=priority, project_id=project, tenant_id=tenant)
    if payload is not None:
        action["payload"] = json_object(payload, "--payload")
    with GatewayClient() as gateway:
        created = gateway.call("POST", _PATH, body=document)
        if as_json:
            print_json(created)
            return
        typer.echo(f"{created['schedule_id']}  {created['name']}")
        typer.echo(_times(gateway.get(f"{_path(created['schedule_id'])}/next", count=3)["times"]))


@schedule_app.command("list")
def list_schedules(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only schedules of this tenant")] = None,
    project: Annotated[str | None, typer.Option("--project", help="Only schedules of this project")] = None,
    as_json: AsJson = False,
) -> None:
    """List the schedules of your tenants."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    with GatewayClient() as gateway:
        while True:
            page = gateway.get(_PATH, tenant_id=tenant, project_id=project, after=after, limit=1000)
            found += page["schedules"]
            after = page["next"]
            if after is None:
                break
    if as_json:
        print_json(found)
        return
    header = ("id", "name", "tenant", "type", "when", "overlap", "next", "note")
    rows = [
        [
            *(one[name] for name in ("schedule_id", "name", "tenant_id")),
            one["action"]["type"],
            "; ".join(_spec(spec) for spec in one["specs"]),
            one["overlap"],
            "paused" if one["paused"] else one["next_at"] and utc(one["next_at"]),
            one["note"],
        ]
        for one in found
    ]
    typer.echo(table(header, rows) if rows else "no schedules")


@schedule_app.command("show")
def show(schedule_id: Id, _as_json: AlwaysJson = False) -> None:
    """Print a schedule as JSON. Without the fields that the gateway added, it is a file for `create --file`."""
    with GatewayClient() as gateway:
        print_json(gateway.get(_path(schedule_id)))


@schedule_app.command("pause")
def pause(schedule_id: Id, note: Why = None, as_json: AsJson = False) -> None:
    """Pause a schedule. Times that pass during the pause do not fire later."""
    with GatewayClient() as gateway:
        answer = gateway.call("POST", f"{_path(schedule_id)}/pause", body={"note": note})
    print_result(answer, "paused", as_json=as_json)


@schedule_app.command("resume")
def resume(schedule_id: Id, note: Why = None, as_json: AsJson = False) -> None:
    """Resume a schedule."""
    with GatewayClient() as gateway:
        answer = gateway.call("POST", f"{_path(schedule_id)}/resume", body={"note": note})
    text = f"next: {utc(answer['next_at'])}" if answer["next_at"] else "resumed; it has no further time"
    print_result(answer, text, as_json=as_json)


@schedule_app.command("run")
def run(schedule_id: Id, overlap: Policy = None, as_json: AsJson = False) -> None:
    """Fire a schedule now. Exit code 3 if no task was submitted."""
    with GatewayClient() as gateway:
        firing = gateway.call("POST", f"{_path(schedule_id)}/run", body={"overlap": overlap})
    text = " ".join(str(firing[name]) for name in ("outcome", "task_id", "reason") if firing[name])
    print_result(firing, text, as_json=as_json)
    if firing["outcome"] != "fired":
        raise typer.Exit(3)


@schedule_app.command("backfill")
def backfill(
    schedule_id: Id,
    begin: Annotated[str, typer.Option("--from", help="Begin of the range, ISO 8601 with offset")],
    end: Annotated[str, typer.Option("--to", help="End of the range, in the past")],
    overlap: Policy = None,
    as_json: AsJson = False,
) -> None:
    """Fire the times of a range in the past that have no task yet; by default one after the other."""
    body = {"start_at": begin, "end_at": end} | ({} if overlap is None else {"overlap": overlap})
    with GatewayClient() as gateway:
        answer = gateway.call("POST", f"{_path(schedule_id)}/backfill", body=body)
    text = f"{answer['noted']} of {answer['times']} times will be fired; the others have their task"
    print_result(answer, text, as_json=as_json)


@schedule_app.command("next")
def next_times(
    schedule_id: Id,
    count: Annotated[int, typer.Option("--count", min=1, max=100, help="Maximum number of entries")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the next times of a schedule. Of a paused schedule: the times if it were resumed now."""
    with GatewayClient() as gateway:
        times = gateway.get(f"{_path(schedule_id)}/next", count=count)["times"]
    print_result(times, _times(times), as_json=as_json)


@schedule_app.command("history")
def history(
    schedule_id: Id,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Maximum number of entries")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the results of past times, latest first."""
    with GatewayClient() as gateway:
        firings = gateway.get(f"{_path(schedule_id)}/history", limit=limit)["firings"]
    if as_json:
        print_json(firings)
        return
    header = ("time", "by", "became", "task", "state", "why")
    rows = [
        [utc(one["nominal_at"]), *(one[name] for name in ("kind", "outcome", "task_id", "task_state", "reason"))]
        for one in firings
    ]
    typer.echo(table(header, rows) if rows else "nothing yet")


@schedule_app.command("delete")
def delete(schedule_id: Id, as_json: AsJson = False) -> None:
    """Delete a schedule and its history. Its tasks stay."""
    with GatewayClient() as gateway:
        gateway.call("DELETE", _path(schedule_id))
    print_result({"schedule_id": schedule_id}, "deleted", as_json=as_json)


def _path(schedule_id: str) -> str:
    return f"{_PATH}/{quote(schedule_id, safe='')}"


def _put(target: dict[str, Any], **values: Any) -> None:
    """Set what is given."""
    target.update({name: value for name, value in values.items() if value is not None})


def _spec(spec: dict[str, Any]) -> str:
    zone = f" {spec['timezone']}" if spec["timezone"] else ""
    if spec["cron"]:
        return f"{spec['cron']}{zone}"
    if spec["every_seconds"]:
        return f"every {spec['every_seconds']} s"
    return f"calendar{zone}" if spec["calendar"] else f"{len(spec['at'])} moments{zone}"


def _times(times: list[dict[str, Any]]) -> str:
    rows = [[one["local"], utc(one["fire_at"])] for one in times]
    return table(("local time", "fires at"), rows) if rows else "it has no further time"
