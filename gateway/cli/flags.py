"""`taskgate flags …`: who is at which stage, and moving them.

The flag file is edited; a flag that LaunchDarkly owns is shown, and changed there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer

from gateway.cli.actor import current_actor
from gateway.routing.errors import FlagChangeRefused, FlagError, FlagFileInvalid
from gateway.routing.flag_document import Json, check_flag, oddities
from gateway.routing.flag_edit import settings_of, with_rollout, with_stage, without_stage
from gateway.routing.flag_file import FlagChange, FlagFile
from gateway.routing.flag_text import default_unit, describe_default, describe_scope, foreign_rules
from gateway.routing.flags import FlagSource
from gateway.routing.query import Scope
from gateway.routing.router import configured_backends
from gateway.routing.stages import Stage, backend_of, meaning
from gateway.settings import Settings

flags_app = typer.Typer(help="Show and change the migration flag: who runs on which backend.", no_args_is_help=True)

# Warnings of these packages are what the commands say themselves; without a handler Python prints them as well.
for package in ("ldclient", "gateway.routing"):
    logging.getLogger(package).addHandler(logging.NullHandler())

Tenant = Annotated[str | None, typer.Option("--tenant", help="Tenant id")]
Project = Annotated[str | None, typer.Option("--project", help="Project id")]
TaskType = Annotated[str | None, typer.Option("--type", help="Task type, e.g. add_episode")]
StageName = Annotated[str, typer.Option("--stage", help="off, dualwrite, shadow, live, rampdown or complete")]
Why = Annotated[str, typer.Option("--why", help="The reason, for the record")]
By = Annotated[str | None, typer.Option("--by", help="Who changes it; default: the user at the keyboard")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as JSON")]


@flags_app.command("show")
def show(as_json: AsJson = False) -> None:
    """The flag in force: the default, everybody who has a stage of their own, and the last change."""
    settings = Settings()
    source = FlagSource.from_settings(settings)
    with complaints():
        flag = asyncio.run(_launchdarkly_flag(source)) if source.is_remote else _file_of(settings).read()
    history = [] if source.is_remote or settings.flags_file is None else _file_of(settings).history()
    view = _view(source, flag, history)
    if as_json:
        typer.echo(json.dumps(view, indent=2, ensure_ascii=False))
    else:
        _print_view(view)


@flags_app.command("set")
def set_stage(
    stage: StageName,
    why: Why,
    tenant: Tenant = None,
    project: Project = None,
    task_type: TaskType = None,
    default: Annotated[bool, typer.Option("--default", help="For all that nothing else is set for")] = False,
    by: By = None,
) -> None:
    """Put a tenant, a project, a task type, a combination of them, or the default at a stage."""
    with complaints():
        scope, wanted = scope_of(tenant, project, task_type, everything=default, option="--default"), stage_of(stage)
        _change(lambda flag: with_stage(flag, scope, wanted), scope, by=by, why=why, stage=wanted)


@flags_app.command("unset")
def unset_stage(
    why: Why, tenant: Tenant = None, project: Project = None, task_type: TaskType = None, by: By = None
) -> None:
    """Take the stage of a scope away: it follows what is less specific again, in the end the default."""
    with complaints():
        scope = scope_of(tenant, project, task_type, everything=False, option=None)
        _change(lambda flag: without_stage(flag, scope), scope, by=by, why=why)


@flags_app.command("rollout")
def rollout(
    stage: StageName,
    percent: Annotated[float, typer.Option("--percent", help="0 to 100, three decimals")],
    why: Why,
    by_task: Annotated[
        bool | None,
        typer.Option("--by-task/--by-tenant", help="Whether single tasks or whole tenants move; default: as it is"),
    ] = None,
    by: By = None,
) -> None:
    """Move a percentage of the default to a stage; raising it later only ever adds."""
    with complaints():
        wanted = stage_of(stage)

        def change(flag: Json) -> Json:
            unit = default_unit(flag) or "tenant" if by_task is None else ("task" if by_task else "tenant")
            return with_rollout(flag, wanted, percent, by=unit, seed=secrets.randbelow(2**31))

        _change(change, Scope(), by=by, why=why, stage=wanted)


@flags_app.command("history")
def history(
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest changes, at most so many")] = 20,
    as_json: AsJson = False,
) -> None:
    """Who changed what, when, and why; the newest change last."""
    with complaints():
        changes = _file_of(Settings()).history()[-limit:]
    if as_json:
        typer.echo(json.dumps([asdict(change) for change in changes], indent=2, ensure_ascii=False))
        return
    for change in changes:
        typer.echo(f"{change.at}  {change.who}  {change.what}: {change.before} → {change.after}  ({change.why})")
    if not changes:
        typer.echo("nothing is recorded")


# What the commands share (also with `taskgate route`) ---------------------------------------------------------


@contextmanager
def complaints() -> Iterator[None]:
    """A mistake of the user's ends with exit code 2 and one line on standard error, a failure with 1."""
    try:
        yield
    except (FlagChangeRefused, FlagFileInvalid) as error:
        fail(str(error), code=2)
    except FlagError as error:
        fail(str(error), code=1)
    except OSError as error:
        fail(f"{error.filename or 'flag file'}: {error.strerror or error}", code=1)


def fail(message: str, *, code: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


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


def _file_of(settings: Settings) -> FlagFile:
    if settings.flags_file is None:
        raise FlagChangeRefused("no flag file is configured: set TASKGATE_FLAGS_FILE")
    return FlagFile(settings.flags_file, settings.flag_key)


def _change(
    change: Callable[[Json], Json], scope: Scope, *, by: str | None, why: str, stage: Stage | None = None
) -> None:
    settings = Settings()
    if FlagSource.from_settings(settings).is_remote:
        fail(
            "LaunchDarkly owns the flag (TASKGATE_LAUNCHDARKLY_SDK_KEY is set): change it there; "
            "in an emergency `taskgate route override set` stands above it",
            code=1,
        )
    file = _file_of(settings)
    record = file.edit(
        change, who=by or current_actor(), why=why, what=str(scope), describe=lambda flag: describe_scope(flag, scope)
    )
    typer.echo(f"{record.what}: {record.before} → {record.after}  (version {record.version}, {record.who})")
    if stage is not None:
        typer.echo(f"  {stage}: {meaning(stage)}")
        if backend_of(stage) not in configured_backends(settings):
            typer.echo(
                f"  note: {backend_of(stage)} is not configured in this environment; where that is so, tasks wait"
            )
    for oddity in oddities(file.read() or {"on": True}):
        typer.echo(f"  note: {oddity}")


async def _launchdarkly_flag(source: FlagSource) -> Json | None:
    await source.start()
    try:
        if source.document() is None:
            fail(source.problem() or "LaunchDarkly has sent no flag", code=1)
        return source.document()
    finally:
        await source.close()


def _view(source: FlagSource, flag: Json | None, changes: list[FlagChange]) -> Json:
    if flag is None:
        return {
            "flag": source.flag_key,
            "owner": source.owner,
            "default": "off",
            "settings": [],
            "notes": [source.note()],
        }
    try:
        check_flag(flag)
    except FlagFileInvalid as error:
        fail(f"{source.owner}: {error}", code=1)
    ordered = sorted(settings_of(flag).items(), key=lambda setting: (-setting[0].rank, str(setting[0])))
    return {
        "flag": source.flag_key,
        "owner": source.owner,
        "version": flag.get("version"),
        "on": bool(flag.get("on")),
        "default": describe_default(flag),
        "settings": [
            {"tenant": scope.tenant_id, "project": scope.project_id, "type": scope.task_type, "stage": str(stage)}
            for scope, stage in ordered
        ],
        "rules": foreign_rules(flag),
        "notes": oddities(flag),
        "last_change": asdict(changes[-1]) if changes else None,
    }


def _print_view(view: Json) -> None:
    version = f", version {view['version']}" if view.get("version") is not None else ""
    typer.echo(f"flag {view['flag']} ({view['owner']}{version})")
    rows = [("default", view["default"])]
    rows += [(str(Scope(item["tenant"], item["project"], item["type"])), item["stage"]) for item in view["settings"]]
    width = max(len(name) for name, _ in rows)
    for name, stage in rows:
        note = f"  {meaning(Stage(stage))}" if stage in tuple(Stage) else ""
        typer.echo(f"  {name:<{width}}  {stage:<9}{note}")
    for rule in view.get("rules", []):
        typer.echo(f"  rule: {rule}")
    for note in view["notes"]:
        typer.echo(f"  note: {note}")
    if last := view.get("last_change"):
        typer.echo(f"last change {last['at']} by {last['who']}: {last['what']}, {last['why']}")
