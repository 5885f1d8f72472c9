"""`taskgate task …`: tasks of a running gateway, over HTTP."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.filters import Which, takes
from gateway.cli.given import refuse, refuse_others
from gateway.cli.output import AsJson, fail, print_json, print_result, results
from gateway.cli.past_gateway import note_of
from gateway.cli.table import table
from gateway.cli.task_why import why
from gateway.cli.text import json_object, json_value, read_text, utc

task_app = typer.Typer(help="Tasks: submit, list, show, stop and retry them, also by filter.", no_args_is_help=True)

_PATH = "/gateway/v1/tasks"
_OPERATIONS = "/gateway/v1/operations"
#: Filters that take several values; the others take one.
_MANY = frozenset(("state", "status", "type", "backend", "stage", "priority", "label"))
_LARGEST_PAGE = 500
#: Exit code when some of many tasks were refused.
SOME_REFUSED = 3

Id = Annotated[str, typer.Argument(help="Id of the task", metavar="ID")]
Ids = Annotated[list[str], typer.Argument(help="Ids of tasks", metavar="ID…")]
State = Annotated[
    list[str] | None,
    typer.Option("--state", help="Only tasks in this state: waiting, queued, running, failed, …; repeatable"),
]
Kind = Annotated[list[str] | None, typer.Option("--type", help="Only tasks of this type; repeatable")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Tenant id")]
Project = Annotated[str | None, typer.Option("--project", help="Project id")]
Label = Annotated[list[str] | None, typer.Option("--label", help="A label as key:value; repeatable")]
Other = Annotated[
    list[str] | None,
    typer.Option("--filter", help="Any other filter of the API as name=value, e.g. error=timeout; repeatable"),
]

FILTERS: dict[str, tuple[str, Any]] = {
    "state": ("state", State),
    "task_type": ("type", Kind),
    "tenant": ("tenant_id", Tenant),
    "project": ("project_id", Project),
    "label": ("labels", Label),
    "other": ("other", Other),
}


@task_app.command("submit")
def submit(
    context: typer.Context,
    task_type: Annotated[str | None, typer.Option("--type", help="Task type, e.g. add_episode")] = None,
    payload: Annotated[str, typer.Option("--payload", help="Payload: a JSON object, or @file")] = "{}",
    project: Project = None,
    tenant: Tenant = None,
    group: Annotated[
        str | None, typer.Option("--group", help="Id of the group; default: the project's group, else the tenant's own")
    ] = None,
    priority: Annotated[int | None, typer.Option("--priority", help="Priority from 1 (first) to 5 (last)")] = None,
    delay: Annotated[float | None, typer.Option("--delay", help="Run after this many seconds")] = None,
    run_at: Annotated[str | None, typer.Option("--at", help="Run at this time, ISO 8601 with offset")] = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", help="Fail if no worker has begun the task by this time, ISO 8601")
    ] = None,
    ttl: Annotated[
        float | None,
        typer.Option("--ttl", help="Fail if no worker has begun the task this many seconds after it is due"),
    ] = None,
    unique_key: Annotated[
        str | None, typer.Option("--unique-key", help="Only one active task of the tenant may have this key")
    ] = None,
    existing: Annotated[
        bool, typer.Option("--existing", help="If an active task has the unique key, print its id instead of failing")
    ] = False,
    attempts: Annotated[
        int | None, typer.Option("--attempts", help="Number of failed runs after which the task becomes a dead letter")
    ] = None,
    label: Label = None,
    parent: Annotated[str | None, typer.Option("--parent", help="Id of the parent task")] = None,
    callback: Annotated[
        str | None, typer.Option("--callback", help="URL of a webhook that is sent when the task ends")
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", help="A repeated submission with the same key creates no second task"),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Many tasks: a JSON array of submissions (- is standard input)")
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="With --file: accept the valid tasks, and refuse only the invalid ones")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Submit a task and print its id. With --file, submit many and print how many were accepted."""
    headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
    if file is None:
        refuse(context, "each", says="goes with --file")
        if unique_key is None:
            refuse(context, "existing", says="goes with --unique-key")
    else:
        refuse_others(
            context, "file", "each", "idempotency_key", "as_json", says="stands in the file; leave it out here"
        )
        tasks = json_value(read_text(file), str(file))
        _submit_many({"mode": "each" if each else "all", "tasks": tasks}, headers, as_json=as_json)
        return
    if task_type is None:
        fail("name the type with --type, such as --type add_episode, or a file with tasks with --file", code=2)
    if payload.startswith("@"):
        payload = read_text(Path(payload[1:]))
    body = {
        "type": task_type,
        "payload": json_object(payload, "--payload"),
        "project_id": project,
        "tenant_id": tenant,
        "group_id": group,
        "priority": priority,
        "delay_seconds": delay,
        "run_at": run_at,
        "deadline": deadline,
        "ttl_seconds": ttl,
        "unique_key": unique_key,
        "on_conflict": "return" if existing else None,
        "retry": None if attempts is None else {"attempts": attempts},
        "labels": labels_of(label) or None,
        "parent_task_id": parent,
        "callback": None if callback is None else {"url": callback},
    }
    asked = {name: value for name, value in body.items() if value is not None}
    with GatewayClient() as gateway:
        answer = gateway.call("POST", _PATH, body=asked, headers=headers)
    print_result(answer, answer["task_id"], as_json=as_json)


def _submit_many(batch: dict[str, Any], headers: dict[str, str], *, as_json: bool) -> None:
    with GatewayClient() as gateway:
        answer = gateway.call("POST", f"{_PATH}/batch", body=batch, headers=headers)
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{answer['accepted']} accepted, {answer['active']} already active, {answer['refused']} refused")
        for item in answer["tasks"]:
            if item["status"] == "refused":
                typer.echo(f"  tasks[{item['index']}]: {item['error']['detail']}")
    if answer["refused"]:
        raise typer.Exit(SOME_REFUSED)


@task_app.command("list")
@takes(FILTERS)
def list_tasks(
    *,
    which: Which,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of entries")] = 50,
    as_json: AsJson = False,
) -> None:
    """List tasks, newest first."""
    if "labels" in which:
        which["label"] = which.pop("labels")
    with GatewayClient() as gateway:
        found, last = gateway.listed(_PATH, "tasks", limit, _LARGEST_PAGE, **_asked(which))
    if (note := note_of(last["past_gateway"])) is not None:
        typer.echo(note, err=True)
    if as_json:
        print_json(found)
        return
    header = ("id", "type", "state", "backend", "tenant", "project", "prio", "created", "labels", "error")
    rows = [
        [
            *(
                task[name]
                for name in ("task_id", "task_type", "state", "backend", "tenant_id", "project_id", "priority")
            ),
            utc(task["created_at"]),
            ",".join(f"{key}:{value}" for key, value in sorted(task["labels"].items())) or None,
            task["error"] and short(task["error"]),
        ]
        for task in found
    ]
    typer.echo(table(header, rows) if rows else "no tasks")
    if last["next_cursor"] is not None:
        typer.echo(f"there are more than {limit}", err=True)


@task_app.command("show")
def show(task_id: Id, as_json: AsJson = False) -> None:
    """Show a task and each of its attempts."""
    with GatewayClient() as gateway:
        task = gateway.get(f"{_PATH}/{quote(task_id, safe='')}")
    if as_json:
        print_json(task)
        return
    runs = task.pop("attempts")
    facts = {name: value for name, value in task.items() if value not in (None, {}, [])}
    width = max(map(len, facts))
    typer.echo("\n".join(f"{name:<{width}}  {value}" for name, value in facts.items()))
    if runs:
        header = ("run", "backend", "worker", "started", "ended", "outcome", "error")
        names = ("attempt", "backend", "worker_id")
        rows = [
            [
                *(run[name] for name in names),
                utc(run["started_at"]),
                run["ended_at"] and utc(run["ended_at"]),
                run["outcome"],
                run["error"] and short(run["error"]),
            ]
            for run in runs
        ]
        typer.echo(f"\n{table(header, rows)}")


task_app.command("why")(why)


@task_app.command("payload")
def payload(task_id: Id, as_json: AsJson = False) -> None:
    """Print the payload of a task. Secrets are redacted."""
    with GatewayClient() as gateway:
        answer = gateway.get(f"{_PATH}/{quote(task_id, safe='')}/payload")
    if as_json:
        print_json(answer)
        return
    given = answer["payload"]
    typer.echo(given if isinstance(given, str) else json.dumps(given, indent=2, ensure_ascii=False))
    if answer["is_cut"]:
        typer.echo(f"this is the beginning of {answer['bytes']} bytes", err=True)


@task_app.command("stop")
def stop(task_ids: Ids, as_json: AsJson = False) -> None:
    """Stop pending or running tasks."""
    _steer(task_ids, "stop", "stopped", as_json=as_json)


@task_app.command("retry")
def retry(task_ids: Ids, as_json: AsJson = False) -> None:
    """Run failed or stopped tasks again."""
    _steer(task_ids, "retry", "retried", as_json=as_json)


def _steer(task_ids: list[str], verb: str, done: str, *, as_json: bool) -> None:
    with GatewayClient() as gateway, results(as_json=as_json) as say:
        for task_id in task_ids:
            gateway.call("POST", f"/api/v1/tasks/{quote(task_id, safe='')}/{verb}")
            say({"task_id": task_id}, f"{done} {task_id}")


@task_app.command("bulk")
@takes(FILTERS)
def bulk(
    action: Annotated[str, typer.Argument(help="Action: cancel, retry, redrive or reprioritise")],
    *,
    which: Which,
    task_id: Annotated[list[str] | None, typer.Option("--id", help="Only this task; repeatable")] = None,
    priority: Annotated[
        int | None, typer.Option("--priority", help="For reprioritise: new priority from 1 (first) to 5 (last)")
    ] = None,
    why: Annotated[str | None, typer.Option("--why", help="Reason, for the audit log")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; only count the tasks")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end of the operation")] = True,
    as_json: AsJson = False,
) -> None:
    """Apply an action to all tasks that exist now and match the filters. Ctrl-C leaves the operation running."""
    if "labels" in which:
        which["labels"] = labels_of(which["labels"])
    if task_id:
        which["ids"] = task_id
    body = {"action": action, "filter": _asked(which), "priority": priority, "why": why}
    with GatewayClient() as gateway:
        if dry_run or not yes:
            operation = gateway.call("POST", _OPERATIONS, body=body | {"dry_run": True})
            if not dry_run and not typer.confirm(f"{action}: {operation['total']} tasks?", err=True):
                raise typer.Exit(1)
        if not dry_run:
            operation = gateway.call("POST", _OPERATIONS, body=body)
            if wait:
                operation = wait_for_end(gateway, operation, quiet=as_json)
    if as_json:
        print_json(operation)
    elif dry_run:
        typer.echo(f"tasks: {operation['total']}, e.g. {', '.join(operation['sample']) or 'none'}")
    else:
        typer.echo(f"{operation['operation_id']}  {progress_of(operation)}")
        for error in operation["errors"]:
            typer.echo(f"  {error['task_id']}: {error['reason']}")
    if operation["failed"]:
        raise typer.Exit(SOME_REFUSED)


def wait_for_end(gateway: GatewayClient, operation: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    pause = 0.1
    while operation["state"] == "running":
        if not quiet and sys.stderr.isatty():
            typer.echo(f"\r{progress_of(operation)} ", err=True, nl=False)
        time.sleep(pause)
        pause = min(pause * 1.5, 2.0)
        operation = gateway.get(f"{_OPERATIONS}/{operation['operation_id']}")
    return operation


def progress_of(operation: dict[str, Any]) -> str:
    counts = ", ".join(f"{operation[name]} {name}" for name in ("done", "skipped", "failed") if operation[name])
    return f"{operation['state']}: {counts or '0 done'} of {operation['total']}"


def _asked(which: Which) -> dict[str, Any]:
    """Filters as the API names them, with those that `--filter` names."""
    asked = dict(which)
    for text in asked.pop("other", []):
        name, separator, value = text.partition("=")
        if not separator:
            fail(
                f"--filter {text} has no `=`; write a name, `=` and a value, such as --filter type=add_episode", code=2
            )
        if name in _MANY:
            asked[name] = [*asked.get(name, []), value]
        elif asked.setdefault(name, value) != value:
            fail(f"--filter {text} names what was given otherwise, too; write one of them", code=2)
    return asked


def labels_of(texts: list[str] | None) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in texts or []:
        key, separator, value = text.partition(":")
        if not separator:
            fail(f"--label {text} has no `:`; write a key, `:` and a value, such as --label team:search", code=2)
        if labels.setdefault(key, value) != value:
            fail(f"--label {key} was given two values; a label has one", code=2)
    return labels


def short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
