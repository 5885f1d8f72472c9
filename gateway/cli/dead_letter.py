"""`taskgate dead-letter …`: dead letters of a running gateway, over HTTP."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.filters import Which, takes
from gateway.cli.given import refuse
from gateway.cli.output import AlwaysJson, AsJson, fail, print_json, print_result, results
from gateway.cli.table import table
from gateway.cli.task import labels_of, progress_of, short, wait_for_end
from gateway.cli.text import json_object, utc

dead_letter_app = typer.Typer(
    help="Dead letters: tasks that failed for good, and invalid payloads.", no_args_is_help=True
)

_PATH = "/gateway/v1/dead-letters"
_LARGEST_PAGE = 200

Ids = Annotated[list[str] | None, typer.Argument(help="Ids of dead letters", metavar="ID…")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Only dead letters of this tenant")]
Project = Annotated[str | None, typer.Option("--project", help="Only dead letters of this project")]
Kind = Annotated[str | None, typer.Option("--kind", help="Only tasks (task), or only invalid payloads (payload)")]
TaskType = Annotated[str | None, typer.Option("--type", help="Only tasks of this type")]
Backend = Annotated[
    str | None, typer.Option("--backend", help="Only dead letters that failed on this backend: redis or temporal")
]
Reason = Annotated[
    str | None, typer.Option("--reason", help="Only with this reason: attempts_exhausted, not_retryable, …")
]
ErrorText = Annotated[str | None, typer.Option("--error", help="Only those whose error contains this text")]
ErrorType = Annotated[
    str | None, typer.Option("--error-type", help="Only those whose last error is of this exception class")
]
Untyped = Annotated[bool, typer.Option("--untyped", help="Only those whose error has no type")]
After = Annotated[
    str | None, typer.Option("--after", help="Only those that failed at this time or later, ISO 8601 with offset")
]
Before = Annotated[
    str | None, typer.Option("--before", help="Only those that failed before this time, ISO 8601 with offset")
]
Label = Annotated[
    list[str] | None, typer.Option("--label", help="A label that the task must have, as key:value; repeatable")
]
State = Annotated[str | None, typer.Option("--state", help="Only in this state: open (default), redriven or dismissed")]
Why = Annotated[str | None, typer.Option("--why", help="Reason, for the audit log")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count the matches")]
Everything = Annotated[bool, typer.Option("--all", help="All that match the filters, instead of the given ones")]

FILTERS: dict[str, tuple[str, Any]] = {
    "tenant": ("tenant_id", Tenant),
    "project": ("project_id", Project),
    "kind": ("kind", Kind),
    "task_type": ("type", TaskType),
    "backend": ("backend", Backend),
    "reason": ("reason", Reason),
    "error": ("error", ErrorText),
    "error_type": ("error_type", ErrorType),
    "untyped": ("untyped", Untyped),
    "after": ("died_after", After),
    "before": ("died_before", Before),
    "label": ("labels", Label),
    "state": ("state", State),
}


@dead_letter_app.command("list")
@takes(FILTERS)
def list_dead_letters(
    *,
    which: Which,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of entries")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""
    labels = which.pop("labels", [])
    with GatewayClient() as gateway:
        found, last = gateway.listed(_PATH, "dead_letters", limit, _LARGEST_PAGE, **which, label=labels)
    if as_json:
        print_json(found)
        return
    header = ("id", "type", "tenant", "backend", "reason", "died", "attempts", "error type", "error")
    rows = [
        [
            *(letter[name] for name in ("id", "type", "tenant_id", "backend", "reason")),
            utc(letter["died_at"]),
            letter["attempts"],
            letter["error_type"],
            letter["error"] and short(letter["error"]),
        ]
        for letter in found
    ]
    typer.echo(table(header, rows) if rows else "no dead letters")
    if last["next_cursor"] is not None:
        typer.echo(f"there are more than {limit}", err=True)


@dead_letter_app.command("groups")
@takes(FILTERS)
def groups(*, which: Which, as_json: AsJson = False) -> None:
    """Count dead letters by kind, reason and type of the error. The group of the newest one comes first."""
    labels = which.pop("labels", [])
    with GatewayClient() as gateway:
        found = gateway.get(f"{_PATH}/groups", **which, label=labels)
    if as_json:
        print_json(found)
        return
    header = ("error type", "reason", "kind", "letters", "tenants", "types", "newest", "newest error")
    rows = [
        [
            *(one[name] for name in ("error_type", "reason", "kind", "letters", "tenants")),
            ",".join(one["types"]) or None,
            utc(one["newest_at"]),
            one["error"] and short(one["error"]),
        ]
        for one in found["groups"]
    ]
    typer.echo(table(header, rows) if rows else "no dead letters")
    if found["counted"] >= found["most"]:
        typer.echo(f"only the newest {found['most']} were counted", err=True)


@dead_letter_app.command("show")
def show(
    letter_id: Annotated[str, typer.Argument(help="Id of the dead letter", metavar="ID")], _as_json: AlwaysJson = False
) -> None:
    """Show a dead letter as JSON: its redacted payload, and error and stack of every attempt."""
    with GatewayClient() as gateway:
        print_json(gateway.get(_one(letter_id)))


@dead_letter_app.command("redrive")
@takes(FILTERS, without=("kind", "backend", "state"))
def redrive(
    context: typer.Context,
    letter_ids: Ids = None,
    everything: Everything = False,
    *,
    which: Which,
    to: Annotated[
        str | None,
        typer.Option("--to", help="Backend to run on, redis or temporal; default: the one that the flag names"),
    ] = None,
    spread: Annotated[
        float, typer.Option("--spread", help="With --all: start them evenly over this many seconds")
    ] = 0.0,
    patch: Annotated[
        str | None, typer.Option("--patch", help="Change the payload first: a JSON merge patch (RFC 7396)")
    ] = None,
    why: Why = None,
    dry_run: DryRun = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="With --all: wait for the end")] = True,
    as_json: AsJson = False,
) -> None:
    """Run dead letters again: the given ones, or with --all those that match the filters."""
    if "labels" in which:
        which["labels"] = labels_of(which["labels"])
    _check_choice(letter_ids, which, everything=everything)
    if not everything:
        refuse(context, "spread", "wait", says="goes with --all; single dead letters are redriven at once")
    if dry_run:
        refuse(context, "patch", says="is not tried by --dry-run; leave one of them out")
    with GatewayClient() as gateway:
        if not everything and not dry_run:
            edit = None if patch is None else {"patch": json_object(patch, "--patch")}
            body = {"backend": to, "edit": edit, "why": why}
            with results(as_json=as_json) as say:
                for letter_id in letter_ids or []:
                    answer = gateway.call("POST", f"{_one(letter_id)}/redrive", body=body)
                    say({"id": letter_id, **answer}, f"redriven {letter_id}: task {answer['task_id']}")
            return
        if patch is not None:
            fail("--patch changes single dead letters; write their ids in place of --all", code=2)
        chosen = which if everything else {"ids": letter_ids}
        asked = {"filter": chosen, "backend": to, "spread_seconds": spread, "why": why, "dry_run": dry_run}
        operation = gateway.call("POST", f"{_PATH}/redrive", body=asked)
        if not dry_run and wait:
            operation = wait_for_end(gateway, operation, quiet=as_json)
    if as_json:
        print_json(operation)
        return
    if dry_run:
        typer.echo(f"{operation['total']} dead letters, e.g. {', '.join(operation['sample']) or 'none'}")
        return
    typer.echo(f"{operation['operation_id']}  {progress_of(operation)}")
    for refused in operation["errors"]:
        typer.echo(f"  {refused['task_id']}: {refused['reason']}")


@dead_letter_app.command("dismiss")
@takes(FILTERS, without=("backend", "after", "label", "state"))
def dismiss(
    letter_ids: Ids = None,
    everything: Everything = False,
    *,
    which: Which,
    why: Why = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Mark dead letters as handled: the given ones, or with --all those that match the filters."""
    _remove("dismiss", letter_ids, which, why, everything=everything, dry_run=dry_run, as_json=as_json)


@dead_letter_app.command("purge")
@takes(FILTERS, without=("backend", "after", "label"))
def purge(
    letter_ids: Ids = None,
    everything: Everything = False,
    *,
    which: Which,
    why: Why = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters: the given ones, or with --all those that match the filters. Tasks and task_logs stay."""
    _remove("purge", letter_ids, which, why, everything=everything, dry_run=dry_run, as_json=as_json)


def _remove(
    what: str,
    letter_ids: list[str] | None,
    which: Which,
    why: str | None,
    *,
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    _check_choice(letter_ids, which, everything=everything)
    asked: dict[str, Any] = {"filter": {"ids": letter_ids} if letter_ids else which, "dry_run": dry_run, "why": why}
    matched = removed = 0
    with GatewayClient() as gateway:
        while True:
            report = gateway.call("POST", f"{_PATH}/{what}", body=asked)
            matched += report["matched"]
            removed += report["removed"]
            asked["cursor"] = report["next_cursor"]
            if asked["cursor"] is None:
                break
    text = f"{matched} dead letters" if dry_run else f"{what}: {removed} of {matched} dead letters"
    print_result({"matched": matched, "removed": removed}, text, as_json=as_json)


def _check_choice(letter_ids: list[str] | None, which: Which, *, everything: bool) -> None:
    if everything == bool(letter_ids):
        fail("write the ids of dead letters, or --all for those that pass the filters (not both)", code=2)
    if which and not everything:
        fail("filters choose among all; write --all, too, or leave the filters out", code=2)


def _one(letter_id: str) -> str:
    return f"{_PATH}/{quote(letter_id, safe='')}"
