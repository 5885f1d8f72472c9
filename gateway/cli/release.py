"""`taskgate release`: the gateway is taken out."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from backends.errors import EngineError
from gateway.cli.actor import actor
from gateway.cli.flags import By
from gateway.cli.output import AsJson, fail, print_json
from gateway.engines import build_engines
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.tasks.lifecycle.release import Released, ReleasePlan, plan_release
from gateway.tasks.lifecycle.release import release as give_back

#: A page of tasks is given back in one statement, and is chosen among perhaps a million (seconds).
STATEMENT_SECONDS = 120.0


def release(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report what would be done")] = False,
    force: Annotated[bool, typer.Option("--force", help="Continue even if gateways or workers are running")] = False,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Before the gateway is removed: give waiting Redis tasks back to the legacy system.

    Run it when all gateways and their workers have stopped.
    """
    who = actor(by)
    settings = Settings()
    plan = asyncio.run(_plan(settings))
    alive = ", ".join(plan.living)
    if dry_run and as_json:
        print_json({"rows": plan.rows, "living": plan.living})
        return
    if dry_run:
        typer.echo(f"{plan.rows} waiting tasks would be given back to the legacy queue")
        if alive:
            typer.echo(f"refused while these live: {alive}")
        return
    if alive and not force:
        fail(f"these live, and work with the tasks: {alive}; stop them first, or insist with --force", code=1)
    if not yes and not typer.confirm(f"Give {plan.rows} waiting tasks back to the legacy system?", err=as_json):
        raise typer.Exit(1)
    try:
        done = asyncio.run(_give_back(settings, who, forced=bool(plan.living)))
    except EngineError as error:
        fail(f"redis: {error.message}; run it again when redis is back", code=1)
    if not settings.redis_url:
        typer.echo(
            "warning: TASKGATE_REDIS_URL is not set: what is in no list there is left to the legacy recovery loop",
            err=True,
        )
    left = [{"backend": backend, "state": state, "tasks": tasks} for (backend, state), tasks in done.left.items()]
    if as_json:
        print_json({"rows": done.rows, "pushed": done.pushed, "left": left})
        return
    typer.echo(f"{done.rows} waiting tasks given back to the legacy queue")
    if done.pushed:
        typer.echo(f"{done.pushed} of them were in none of redis's lists, and were pushed")
    for one in left:
        typer.echo(f"left: {one['tasks']} tasks {one['state']} on {one['backend']}")


async def _plan(settings: Settings) -> ReleasePlan:
    database = Database(settings.database_url, size=2)
    try:
        return await plan_release(database, settings.lease_seconds)
    finally:
        await database.close()


async def _give_back(settings: Settings, by: str, *, forced: bool) -> Released:
    database = Database(settings.database_url, size=2, statement_timeout=STATEMENT_SECONDS)
    engines = build_engines(settings.model_copy(update={"temporal_address": None}))
    try:
        return await give_back(database, engines.get("redis"), by=by, forced=forced)
    finally:
        for engine in engines.values():
            await engine.close()
        await database.close()
