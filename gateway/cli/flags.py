"""`taskgate flags …`: who is at which stage, and moving them.

The flag file is edited; a flag that LaunchDarkly owns is shown, and changed there.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from gateway.cli.actor import current_actor
from gateway.cli.flag_facts import FlagFacts, look, refuse_stranding, unfollowed
from gateway.cli.flag_view import flag_view, override_changes, override_json, print_view
from gateway.cli.output import AsJson, fail, print_json
from gateway.routing.errors import FlagChangeRefused, FlagError, FlagFileInvalid
from gateway.routing.flag_document import Json, check_flag, oddities
from gateway.routing.flag_edit import with_rollout, with_stage, without_stage
from gateway.routing.flag_file import FlagFile
from gateway.routing.flag_text import default_unit, describe_scope
from gateway.routing.flags import FlagSource
from gateway.routing.query import RouteQuery, Scope, scopes_of
from gateway.routing.router import configured_backends
from gateway.routing.stages import Stage, backend_of, meaning
from gateway.routing.stranded import Left, lines, stranded
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
Force = Annotated[bool, typer.Option("--force", help="Also when tasks are left on Redis")]


@flags_app.command("show")
def show(as_json: AsJson = False) -> None:
    """What is in force: overrides, the flag's default, everybody who has a stage of their own, and the last change."""
    settings = Settings()
    source = FlagSource.from_settings(settings)
    facts = look(settings)
    with complaints():
        flag = None if source.is_remote else _file_of(settings).read()
        flag, left = asyncio.run(_in_force(source, flag, facts))
    history = [] if source.is_remote or settings.flags_file is None else _file_of(settings).history()
    try:
        if flag is not None:
            check_flag(flag)
    except FlagFileInvalid as error:
        fail(f"{source.owner}: {error}", code=1)
    view = flag_view(source, flag, history)
    view["overrides"] = [override_json(row) for row in facts.overrides]
    view["stranded"] = lines(left)
    if facts.problem is not None:
        view["notes"].append(f"overrides and what is left on redis are not shown: {facts.problem}")
    if as_json:
        print_json(view)
    else:
        print_view(view)


@flags_app.command("set")
def set_stage(
    stage: StageName,
    why: Why,
    tenant: Tenant = None,
    project: Project = None,
    task_type: TaskType = None,
    default: Annotated[bool, typer.Option("--default", help="For all that nothing else is set for")] = False,
    by: By = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Put a tenant, a project, a task type, a combination of them, or the default at a stage."""
    with complaints():
        scope, wanted = scope_of(tenant, project, task_type, everything=default, option="--default"), stage_of(stage)
        _change(
            lambda flag: with_stage(flag, scope, wanted),
            scope,
            by=by,
            why=why,
            stage=wanted,
            force=force,
            as_json=as_json,
        )


@flags_app.command("unset")
def unset_stage(
    why: Why,
    tenant: Tenant = None,
    project: Project = None,
    task_type: TaskType = None,
    by: By = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Take the stage of a scope away: it follows what is less specific again, in the end the default."""
    with complaints():
        scope = scope_of(tenant, project, task_type, everything=False, option=None)
        _change(lambda flag: without_stage(flag, scope), scope, by=by, why=why, force=force, as_json=as_json)


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
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Move a percentage of the default to a stage; raising it later only ever adds."""
    with complaints():
        wanted = stage_of(stage)

        def change(flag: Json) -> Json:
            unit = default_unit(flag) or "tenant" if by_task is None else ("task" if by_task else "tenant")
            return with_rollout(flag, wanted, percent, by=unit, seed=secrets.randbelow(2**31))

        _change(change, Scope(), by=by, why=why, stage=wanted, force=force, as_json=as_json)


@flags_app.command("history")
def history(
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest changes, at most so many")] = 20,
    as_json: AsJson = False,
) -> None:
    """Who changed what of the flag file and of the overrides, when, and why; the newest change last."""
    with complaints():
        settings = Settings()
        is_remote = FlagSource.from_settings(settings).is_remote
        of_file = [] if is_remote else [asdict(change) for change in _file_of(settings).history()]
    facts = look(settings, changes=limit)
    of_overrides = override_changes(facts.override_changes)
    changes = sorted(of_file + of_overrides, key=lambda change: datetime.fromisoformat(change["at"]))[-limit:]
    if facts.problem is not None:
        typer.echo(f"warning: changes of overrides are not shown: {facts.problem}", err=True)
    if as_json:
        print_json(changes)
        return
    for one in changes:
        typer.echo(f"{one['at']}  {one['who']}  {one['what']}: {one['before']} → {one['after']}  ({one['why']})")
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
    change: Callable[[Json], Json],
    scope: Scope,
    *,
    by: str | None,
    why: str,
    force: bool,
    as_json: bool,
    stage: Stage | None = None,
) -> None:
    settings = Settings()
    source = FlagSource.from_settings(settings)
    if source.is_remote:
        fail(
            "LaunchDarkly owns the flag (TASKGATE_LAUNCHDARKLY_SDK_KEY is set): change it there; "
            "in an emergency `taskgate route override set` stands above it",
            code=1,
        )
    file = _file_of(settings)
    facts = look(settings, scope)

    def checked(flag: Json) -> Json:
        changed = change(flag)
        if not force:
            refuse_stranding(flag, changed, settings.flag_key, facts)
        return changed

    record = file.edit(
        checked, who=by or current_actor(), why=why, what=str(scope), describe=lambda flag: describe_scope(flag, scope)
    )
    for warning in facts.unknown:
        typer.echo(f"warning: {warning}; the stage is set all the same", err=True)
    if (without_effect := unfollowed(source.owner, facts)) is not None:
        typer.echo(f"warning: {without_effect}: the change has no effect yet", err=True)
    notes = oddities(file.read() or {"on": True})
    if stage is not None and backend_of(stage) not in configured_backends(settings):
        notes.insert(0, f"{backend_of(stage)} is not configured in this environment; where that is so, tasks wait")
    if as_json:
        print_json({**asdict(record), "notes": notes})
        return
    typer.echo(f"{record.what}: {record.before} → {record.after}  (version {record.version}, {record.who})")
    if stage is not None:
        typer.echo(f"  {stage}: {meaning(stage)}")
    for note in notes:
        typer.echo(f"  note: {note}")


async def _in_force(source: FlagSource, flag: Json | None, facts: FlagFacts) -> tuple[Json | None, list[Left]]:
    """The flag, of LaunchDarkly when that owns it, and what is stranded under it and the overrides."""
    await source.start()
    try:
        if source.is_remote:
            flag = source.document()
            if flag is None:
                fail(source.problem() or "LaunchDarkly has sent no flag", code=1)
        overridden = {row.scope: row.stage for row in facts.overrides}

        def stage_of(query: RouteQuery) -> Stage:
            above = [overridden[scope] for scope in scopes_of(query) if scope in overridden]
            return above[0] if above else source.evaluate(query).stage

        return flag, stranded(facts.left, stage_of)
    finally:
        await source.close()
