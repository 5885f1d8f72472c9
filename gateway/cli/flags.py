"""`taskgate flags …`: who is at which stage, and moving them, through the one door for stages."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from gateway.cli.flag_view import print_view, view_json
from gateway.cli.output import AlwaysJson, AsJson, fail, print_json
from gateway.cli.stage_client import StageClient, open_door
from gateway.cli.table import table
from gateway.migration.stages.requests import Change, ImportFlags, SetRollout, SetStage, UnsetStage
from gateway.routing.errors import FlagChangeRefused
from gateway.routing.query import Scope
from gateway.routing.stages import Stage, meaning
from gateway.settings import Settings

flags_app = typer.Typer(
    help="Show and change the migration flag: which tenants are at which stage.", no_args_is_help=True
)

# Warnings of these packages are what the commands say themselves; without a handler Python prints them as well.
for package in ("ldclient", "gateway.routing"):
    logging.getLogger(package).addHandler(logging.NullHandler())

Tenant = Annotated[str | None, typer.Option("--tenant", help="Scope: this tenant")]
Project = Annotated[str | None, typer.Option("--project", help="Scope: this project")]
TaskType = Annotated[str | None, typer.Option("--type", help="Scope: this task type, e.g. add_episode")]
StageName = Annotated[str, typer.Option("--stage", help="Stage: off, dualwrite, shadow, live, rampdown or complete")]
Why = Annotated[str, typer.Option("--why", help="Reason, for the audit log")]
By = Annotated[str | None, typer.Option("--by", help="With --local: who makes the change; default: your user name")]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Make the change even if the tenant is unknown, tasks would be stranded on Redis, or a "
        "guardrail holds the tenant",
    ),
]
BasedOn = Annotated[
    int | None,
    typer.Option(
        "--based-on",
        min=0,
        help="Version that the change is based on; it is refused if there is a newer one; default: the newest",
    ),
]
Local = Annotated[
    bool,
    typer.Option(
        "--local",
        help="Change the flag file of this host, or the database, directly and not through a gateway; the "
        "default without a key",
    ),
]
M = TypeVar("M", bound=BaseModel)


@flags_app.command("show")
def show(local: Local = False, as_json: AsJson = False) -> None:
    """Show the stages that are set, the overrides, the default, and the last change."""
    with complaints():
        view = view_json(open_door(Settings(), local=local).view())
    if as_json:
        print_json(view)
    else:
        print_view(view)
    if view["problem"] is not None:
        fail(view["problem"], code=2)


@flags_app.command("set")
def set_stage(
    stage: StageName,
    why: Why,
    tenant: Tenant = None,
    project: Project = None,
    task_type: TaskType = None,
    default: Annotated[
        bool, typer.Option("--default", help="Scope: the default, which applies where nothing else is set")
    ] = False,
    by: By = None,
    based_on: BasedOn = None,
    force: Force = False,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Set the stage of a tenant, a project, a task type, a combination of these, or the default."""
    with complaints():
        scope, wanted = scope_of(tenant, project, task_type, everything=default, option="--default"), stage_of(stage)
        door = open_door(Settings(), local=local, by=by)
        facts = {**fields_of(scope), "everything": default, "stage": wanted.value, "force": force}
        made = _change(door, SetStage, why, based_on, **facts)
    _print_change(made, wanted, as_json=as_json)


@flags_app.command("unset")
def unset_stage(
    why: Why,
    tenant: Tenant = None,
    project: Project = None,
    task_type: TaskType = None,
    by: By = None,
    based_on: BasedOn = None,
    force: Force = False,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Remove the stage of a scope. The next less specific setting applies again."""
    with complaints():
        scope = scope_of(tenant, project, task_type, everything=False, option=None)
        door = open_door(Settings(), local=local, by=by)
        made = _change(door, UnsetStage, why, based_on, **fields_of(scope), force=force)
    _print_change(made, None, as_json=as_json)


@flags_app.command("rollout")
def rollout(
    stage: StageName,
    percent: Annotated[float, typer.Option("--percent", help="Percentage from 0 to 100, with at most three decimals")],
    why: Why,
    by_task: Annotated[
        bool | None,
        typer.Option(
            "--by-task/--by-tenant",
            help="Whether single tasks or whole tenants are moved; default: as in the last rollout, at first tenants",
        ),
    ] = None,
    by: By = None,
    based_on: BasedOn = None,
    force: Force = False,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Move a percentage of the default to a stage. A higher percentage keeps those already moved."""
    with complaints():
        wanted = stage_of(stage)
        if not 0 <= percent <= 100:
            raise FlagChangeRefused(f"{percent:g} is not a percentage (0 to 100)")
        unit = None if by_task is None else ("task" if by_task else "tenant")
        door = open_door(Settings(), local=local, by=by)
        facts = {"stage": wanted.value, "percent": percent, "unit": unit, "force": force}
        made = _change(door, SetRollout, why, based_on, **facts)
    _print_change(made, wanted, as_json=as_json)


@flags_app.command("history")
def history(
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of changes")] = 20,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """List the changes of the flag and of overrides, with who made them and why, newest last."""
    with complaints():
        found = open_door(Settings(), local=local).history(limit)
    if found["note"] is not None:
        typer.echo(f"warning: {found['note']}", err=True)
    if as_json:
        print_json(found["changes"])
        return
    columns = ("at", "who", "what", "before", "after", "why")
    rows = [[one[name] for name in columns] for one in found["changes"]]
    typer.echo(table(columns, rows) if rows else "nothing is recorded")


@flags_app.command("export")
def export(local: Local = False, as_json: AlwaysJson = True) -> None:
    """Print the whole flag data in LaunchDarkly's format, as in a flag file."""
    with complaints():
        print_json(open_door(Settings(), local=local).document())


@flags_app.command("import")
def load(
    file: Annotated[Path, typer.Argument(help="Output of `flags export`, or a flag file; -: standard input")],
    why: Why,
    by: By = None,
    based_on: BasedOn = None,
    force: Force = False,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Replace the whole flag data by a document, e.g. to move it from a file into the database, or back."""
    with complaints():
        try:
            document = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise FlagChangeRefused(f"{file}: it is not JSON: {error}") from None
        if not isinstance(document, dict):
            raise FlagChangeRefused(f"{file}: it must be a JSON object with a member 'flags'")
        door = open_door(Settings(), local=local, by=by)
        made = _change(door, ImportFlags, why, based_on, document=document, force=force)
    _print_change(made, None, as_json=as_json)


# What the commands share (also with `taskgate route`) ---------------------------------------------------------


@contextmanager
def complaints() -> Iterator[None]:
    """A mistake of the user's ends with exit code 2 and one line on standard error, a failure with 1."""
    try:
        yield
    except FlagChangeRefused as error:
        fail(error.message, code=2)
    except OSError as error:
        fail(f"{error.filename or 'file'}: {error.strerror or error}", code=1)


def asked_of(model: type[M], **facts: Any) -> M:
    """What is asked for. Raises `FlagChangeRefused` with what is wrong with it."""
    try:
        return model.model_validate({name: value for name, value in facts.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise FlagChangeRefused(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def fields_of(scope: Scope) -> dict[str, Any]:
    return {"tenant_id": scope.tenant_id, "project_id": scope.project_id, "task_type": scope.task_type}


def stage_of(text: str) -> Stage:
    """Raises `FlagChangeRefused` with the list of stages."""
    try:
        return Stage.parse(text)
    except ValueError as error:
        raise FlagChangeRefused(str(error)) from None


def scope_of(
    tenant: str | None, project: str | None, task_type: str | None, *, everything: bool, option: str | None
) -> Scope:
    """The scope that the options name; `option` is the one that means everything. Raises `FlagChangeRefused`."""
    tenant, project, task_type = (None if value is None else value.strip() for value in (tenant, project, task_type))
    values = {"--tenant": tenant, "--project": project, "--type": task_type}
    for name, value in values.items():
        if value == "":
            raise FlagChangeRefused(f"{name} must not be empty")
    given = [name for name, value in values.items() if value is not None]
    choices = ", ".join(filter(None, [*values, option]))
    if everything and given:
        raise FlagChangeRefused(f"{option} does not go together with {', '.join(given)}")
    if not everything and not given:
        raise FlagChangeRefused(f"say for whom: {choices}")
    return Scope(tenant, project, task_type)


def check_why(why: str) -> None:
    """Raises `FlagChangeRefused` when no reason is given."""
    if not why.strip():
        raise FlagChangeRefused("say why")


def _change(door: StageClient, model: type[Change], why: str, based_on: int | None, **facts: Any) -> Any:
    check_why(why)
    seen = door.seen() if based_on is None else based_on
    return door.change(asked_of(model, why=why, based_on=seen, **facts))


def _print_change(made: Any, stage: Stage | None, *, as_json: bool) -> None:
    for warning in made["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        print_json(made)
        return
    typer.echo(f"{made['what']}: {made['before']} → {made['after']}  (version {made['version']}, {made['who']})")
    if stage is not None:
        typer.echo(f"  {stage}: {meaning(stage)}")
    for note in made["notes"]:
        typer.echo(f"  note: {note}")
