"""`taskgate route …`: which backend a task goes to and why, and the overrides above the flag."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated

import asyncpg
import typer

from gateway.cli.flag_view import override_line, scope_json, scope_of_row
from gateway.cli.flags import (
    BasedOn,
    By,
    Force,
    Local,
    Project,
    StageName,
    TaskType,
    Tenant,
    Why,
    asked_of,
    check_why,
    complaints,
    fields_of,
    scope_of,
    stage_of,
)
from gateway.cli.output import AsJson, fail, print_json, print_result
from gateway.cli.stage_client import DATABASE_SECONDS, StageClient, open_door
from gateway.dispatch.priority_check import serves_priority
from gateway.engines import build_engines
from gateway.errors import DatabaseUnavailable
from gateway.migration.ledger import last_known
from gateway.migration.stages.requests import ClearOverride, SetOverride
from gateway.migration.stages.view import override_view
from gateway.routing.errors import FlagChangeRefused
from gateway.routing.flag_document import Json
from gateway.routing.flag_text import default_unit
from gateway.routing.flags import FlagSource
from gateway.routing.overrides import SQL, Overrides
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.router import Route, Router, configured_backends
from gateway.routing.stages import meaning
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.listener import Listener

route_app = typer.Typer(help="Which backend a task goes to, and why.", no_args_is_help=True)
override_app = typer.Typer(help="Overrides: stages that have precedence over the flag.", no_args_is_help=True)
route_app.add_typer(override_app, name="override")

Everything = Annotated[bool, typer.Option("--all", help="Scope: all tasks of all tenants")]


@route_app.command("explain")
def explain(
    tenant: Annotated[str, typer.Option("--tenant", help="Tenant id")],
    task_type: Annotated[str, typer.Option("--type", help="Task type, e.g. add_episode")],
    project: Project = None,
    task: Annotated[str | None, typer.Option("--task", help="Id of the task; matters for percentages by task")] = None,
    as_json: AsJson = False,
) -> None:
    """Show which backend a task of this tenant goes to now, and which setting decides."""
    for name, value in (("--tenant", tenant), ("--type", task_type), ("--project", project), ("--task", task)):
        if value == "":
            fail(f"{name} must not be empty; write its value, or leave it out", code=2)
    query = RouteQuery(tenant, task_type, task or "", project, plan=None)
    answer = asyncio.run(_explain(Settings(), query))
    if as_json:
        print_json(answer)
    else:
        _print_answer(answer)


@override_app.command("set")
def override_set(
    stage: StageName,
    why: Why,
    tenant: Tenant = None,
    project: Project = None,
    task_type: TaskType = None,
    everything: Everything = False,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes", help="Minutes until the override ends by itself; default: it stays until it is cleared"
        ),
    ] = None,
    by: By = None,
    based_on: BasedOn = None,
    force: Force = False,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Set an override: a stage that has precedence over the flag. All gateways use it at once."""
    with complaints():
        scope, wanted = scope_of(tenant, project, task_type, everything=everything, option="--all"), stage_of(stage)
        check_why(why)
        if minutes is not None and not 0 < minutes < 60 * 24 * 3650:
            raise FlagChangeRefused("--minutes must be more than 0, and less than ten years")
        door = open_door(Settings(), local=local, by=by)
        seen = _seen(door, scope) if based_on is None else based_on
        facts = {**fields_of(scope), "everything": everything, "stage": wanted.value, "minutes": minutes}
        row = scope_json(door.change(asked_of(SetOverride, **facts, why=why, based_on=seen, force=force)))
    for warning in row["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    lines = [override_line(row), f"  {wanted}: {meaning(wanted)}", *(f"  note: {note}" for note in row["notes"])]
    print_result(row, "\n".join(lines), as_json=as_json)


@override_app.command("clear")
def override_clear(
    why: Why,
    tenant: Tenant = None,
    project: Project = None,
    task_type: TaskType = None,
    everything: Everything = False,
    by: By = None,
    based_on: BasedOn = None,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Clear an override. The flag decides again."""
    with complaints():
        scope = scope_of(tenant, project, task_type, everything=everything, option="--all")
        check_why(why)
        door = open_door(Settings(), local=local, by=by)
        seen = _seen(door, scope) if based_on is None else based_on
        facts = {**fields_of(scope), "everything": everything}
        door.change(asked_of(ClearOverride, **facts, why=why, based_on=seen))
    cleared = {"tenant": scope.tenant_id, "project": scope.project_id, "type": scope.task_type}
    print_result(cleared, f"{scope}: the flag decides again", as_json=as_json)


@override_app.command("list")
def override_list(local: Local = False, as_json: AsJson = False) -> None:
    """List the overrides."""
    with complaints():
        rows = [scope_json(row) for row in open_door(Settings(), local=local).overrides()]
    if as_json:
        print_json(rows)
    elif not rows:
        typer.echo("no overrides: the flag decides")
    else:
        for row in rows:
            typer.echo(override_line(row))


def _seen(door: StageClient, scope: Scope) -> int:
    """The version of the override that stands for exactly this scope."""
    return next((int(row["version"]) for row in door.overrides() if scope_of_row(row) == scope), 0)


async def _explain(settings: Settings, query: RouteQuery) -> Json:
    database = Database(settings.database_url, size=2, acquire_timeout=DATABASE_SECONDS, name="taskgate-cli")
    listener = Listener(database)
    flags = FlagSource.from_settings(settings, database, listener, held=True)
    overrides = Overrides(database, listener)
    await flags.start()
    try:
        await _put_in_force(database, flags)
        query, notes = await _look_up(database, overrides, query)
        router = Router(flags, overrides, configured_backends(settings))
        route = router.explain(query)
        if route.source == "flag" and not query.task_id and default_unit(flags.document()) == "task":
            notes.append("the default is a percentage by task, so each task may go elsewhere: name one with --task")
        flag_says = flags.evaluate(query).stage
        problems = [problem for problem in router.problems() if problem != route.reason]
        answer = _answer(query, route, owner=flags.owner, flag_says=str(flag_says), notes=notes, problems=problems)
        return answer | {"cannot": await _cannot(database, settings, route.backend)}
    finally:
        await flags.close()
        await listener.close()
        await database.close()


async def _put_in_force(database: Database, flags: FlagSource) -> None:
    """What a gateway follows: what was received, or the last known flag."""
    try:
        if flags.is_silent and await last_known.follow(database, flags):
            return
    except (DatabaseUnavailable, asyncpg.UndefinedTableError):
        pass
    flags.put_in_force(flags.received())


async def _cannot(database: Database, settings: Settings, backend: str) -> list[str]:
    """What a task there cannot be promised."""
    engines = build_engines(settings)
    try:
        if backend not in engines or await serves_priority(database, engines[backend]):
            return []
        return ["priority, fairness: only legacy workers serve this backend (a priority is refused with 409)"]
    except (DatabaseUnavailable, asyncpg.UndefinedTableError):
        return []
    finally:
        for engine in engines.values():
            await engine.close()


async def _look_up(database: Database, overrides: Overrides, query: RouteQuery) -> tuple[RouteQuery, list[str]]:
    """The tenant's plan and the overrides, as far as the database can be asked. An unknown tenant ends the command."""
    try:
        tenant = await database.fetchrow(SQL.tenant_plan, query.tenant_id)
    except DatabaseUnavailable:
        return query, ["the database is not reachable: the tier is taken as standard, overrides are not looked at"]
    except asyncpg.UndefinedTableError:
        return query, [
            "the database has no table of tenants: the tier is taken as standard, overrides are not looked at"
        ]
    if tenant is None:
        fail(f"there is no tenant {query.tenant_id!r}", code=2)
    notes = []
    query = replace(query, plan=tenant["plan"])
    if query.project_id is not None:
        owner = await database.fetchrow(SQL.project_tenant, query.project_id)
        if owner is None:
            notes.append(f"there is no project {query.project_id!r}")
        elif owner["tenant_id"] != query.tenant_id:
            notes.append(f"project {query.project_id} belongs to tenant {owner['tenant_id']}")
    try:
        await overrides.refresh()
    except asyncpg.UndefinedTableError:
        notes.append("the gateway's tables do not exist yet in this database: there are no overrides")
    return query, notes


def _answer(
    query: RouteQuery, route: Route, *, owner: str, flag_says: str, notes: list[str], problems: list[str]
) -> Json:
    return {
        "tenant": query.tenant_id,
        "tier": query.tier.value,
        "plan": query.plan,
        "project": query.project_id,
        "type": query.task_type,
        "task": query.task_id or None,
        "backend": route.backend,
        "stage": str(route.stage),
        "effective": str(route.effective),
        "source": route.source,
        "reason": route.reason,
        "usable": route.usable,
        "problem": route.problem,
        "flag": {"owner": owner, "says": flag_says, "reason": route.flag.reason if route.flag else None},
        "override": None if route.override is None else scope_json(override_view(route.override)),
        "problems": problems,
        "notes": notes,
    }


def _print_answer(answer: Json) -> None:
    project = f", project {answer['project']}" if answer["project"] else ""
    task = f", task {answer['task']}" if answer["task"] else ""
    typer.echo(
        f"tenant {answer['tenant']} ({answer['tier']}){project}, type {answer['type']}{task} → {answer['backend']}"
    )
    acts = "" if answer["stage"] == answer["effective"] else f" (acts as {answer['effective']})"
    typer.echo(f"  stage     {answer['stage']}{acts}")
    typer.echo(f"  because   {answer['reason']}")
    if answer["source"] == "override":
        typer.echo(f"  flag      says {answer['flag']['says']} ({answer['flag']['owner']})")
    else:
        typer.echo(f"  flag      {answer['flag']['owner']}")
    typer.echo(f"  backend   {'configured' if answer['usable'] else answer['problem']}")
    for missing in answer["cannot"]:
        typer.echo(f"  cannot    {missing}")
    for problem in answer["problems"]:
        typer.echo(f"  problem   {problem}")
    for note in answer["notes"]:
        typer.echo(f"  note      {note}")
