"""`taskgate recover`: after the restore of a backup, or a fail-over with loss."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer

from backends.errors import EngineError
from gateway.cli.actor import actor
from gateway.cli.given import refuse_before_subcommand
from gateway.cli.output import AsJson, fail, print_json
from gateway.cli.table import table
from gateway.engines import build_redis, build_temporal
from gateway.recovery.restored.decisions import Choice, Decisions, Undecidable, Undecided
from gateway.recovery.restored.restoration import Preview, RecoveryRefused, Report, Restoration
from gateway.settings import Settings
from gateway.storage.database import Database

#: Statements here change every task (seconds).
STATEMENT_SECONDS = 600.0

recover_app = typer.Typer(
    help="After the restore of a backup, or a fail-over that lost writes: make the database safe to start on.",
    invoke_without_command=True,
)
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation")]
By = Annotated[str | None, typer.Option("--by", help="Who makes the decision; default: your user name")]
Why = Annotated[str | None, typer.Option("--why", help="Reason, for the audit log")]
Ids = Annotated[list[str] | None, typer.Argument(help="Task ids", show_default=False)]


@recover_app.callback()
def recover(
    context: typer.Context,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report what would be done")] = False,
    by: By = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """After the restore of a backup, or a fail-over that lost writes: make the database safe to start on.

    Run it while no gateway and no worker runs, legacy ones included, and both engines answer. It may be repeated.
    """
    if context.invoked_subcommand is not None:
        refuse_before_subcommand(context)
        return
    who = actor(by)
    settings = Settings()
    preview = _run(_with_restoration(settings, lambda restoration: restoration.preview()))
    if dry_run:
        print_json({**asdict(preview), "last_write": preview.last_write.isoformat()}) if as_json else _show(preview)
        return
    if preview.living:
        fail(f"these work with the database: {', '.join(preview.living)}; stop them first", code=1)
    if not as_json:
        _show(preview)
    if not yes and not typer.confirm("Go on?", err=as_json):
        raise typer.Exit(1)
    report = _run(_with_restoration(settings, lambda restoration: restoration.recover(by=who, why=why)))
    if as_json:
        print_json({**asdict(report), "last_write": report.last_write.isoformat()})
    else:
        _tell(report)


@recover_app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List what a person has to decide: tasks that may have run in the gap, and tasks that the database does not
    know."""
    rows = _run(_undecided(Settings()))
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    if not rows:
        typer.echo("nothing is to be decided")
        return
    typer.echo(
        table(
            ("TASK", "TYPE", "TENANT", "KNOWN", "FOUND"),
            [
                (
                    row.task_id,
                    row.task_type or "-",
                    row.tenant_id or "-",
                    "yes" if row.is_known else "no",
                    row.found if row.can_start else f"{row.found}; cannot be started",
                )
                for row in rows
            ],
        )
    )


@recover_app.command("start")
def start(
    task_ids: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that is listed and can be started")] = False,
    yes: Yes = False,
    by: By = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Start listed tasks. Choose those that did not run before, and those that may run twice."""
    _decide("start", task_ids, everything=everything, yes=yes, by=by, why=why, as_json=as_json)


@recover_app.command("drop")
def drop(
    task_ids: Ids = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything that is listed, also what cannot be started")
    ] = False,
    yes: Yes = False,
    by: By = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """End listed tasks: those that ran, or are not needed any more. Tasks that the database knows become FAILED, and
    can be retried."""
    _decide("drop", task_ids, everything=everything, yes=yes, by=by, why=why, as_json=as_json)


# Private ----------------------------------------------------------------------------------------------------


def _decide(
    choice: Choice,
    task_ids: list[str] | None,
    *,
    everything: bool,
    yes: bool,
    by: str | None,
    why: str | None,
    as_json: bool,
) -> None:
    if bool(task_ids) == everything:
        fail("name task ids, or --all", code=2)
    who = actor(by)
    settings = Settings()
    chosen = task_ids or [row.task_id for row in _run(_undecided(settings)) if choice == "drop" or row.can_start]
    verb = "Start" if choice == "start" else "Drop"
    if not yes and not typer.confirm(f"{verb} {len(chosen)} tasks?", err=as_json):
        raise typer.Exit(1)

    async def decide() -> list[str]:
        database = Database(settings.database_url, size=2)
        decisions = Decisions(database, max_attempts=settings.task_attempts)
        done = []
        try:
            for task_id in chosen:
                await decisions.decide(task_id, choice, by=who, why=why)
                done.append(task_id)
        except Undecidable as error:
            fail(f"{error.message} ({len(done)} were decided)", code=1)
        finally:
            await database.close()
        return done

    done = asyncio.run(decide())
    if as_json:
        print_json({"decision": choice, "tasks": done})
    else:
        typer.echo(f"{len(done)} tasks {'will start' if choice == 'start' else 'dropped'}")


async def _undecided(settings: Settings) -> list[Undecided]:
    database = Database(settings.database_url, size=2)
    try:
        return [row async for row in Decisions(database, max_attempts=settings.task_attempts).undecided()]
    finally:
        await database.close()


def _run(what: Any) -> Any:
    try:
        return asyncio.run(what)
    except EngineError as error:
        fail(f"{error.message}; both engines have to answer: run it again when they do", code=1)
    except RecoveryRefused as error:
        fail(error.message, code=1)


async def _with_restoration(settings: Settings, do: Callable[[Restoration], Awaitable[Any]]) -> Any:
    async with _restoration(settings) as restoration:
        return await do(restoration)


@asynccontextmanager
async def _restoration(settings: Settings) -> AsyncIterator[Restoration]:
    database = Database(settings.database_url, size=4, statement_timeout=STATEMENT_SECONDS)
    redis = build_redis(settings)
    temporal = build_temporal(settings) if settings.temporal_address else None
    try:
        yield Restoration(database, redis, temporal, lease_seconds=settings.lease_seconds)
    finally:
        for engine in (redis, temporal):
            if engine is not None:
                await engine.close()
        await database.close()


def _show(preview: Preview) -> None:
    typer.echo(f"last write in the database: {preview.last_write:%Y-%m-%d %H:%M:%S} UTC")
    typer.echo(f"{preview.tasks} tasks get an epoch of at least {preview.epoch_floor}")
    typer.echo(f"{preview.unfinished} of them are not over, and are held")
    typer.echo(f"{preview.processes} processes are retired; {preview.payloads} payloads in redis are set aside")
    if preview.living:
        typer.echo(f"refused while these live: {', '.join(preview.living)}")


def _tell(report: Report) -> None:
    verdicts = report.verdicts
    typer.echo(f"recovery {report.recovery_id} is finished: gateways and workers may start")
    typer.echo(f"merged from engines: {verdicts['completed']} completed, {verdicts['failed']} failed")
    typer.echo(f"{verdicts['continues']} had not begun, and continue")
    typer.echo(f"{verdicts['undecided'] + report.unknown} wait for you: `taskgate recover list`")
    if report.ended_unknown:
        typer.echo(f"{report.ended_unknown} tasks of the gap are over, and are not known to this database")
    if report.schedules:
        typer.echo(f"paused, as they may have fired in the gap: {', '.join(report.schedules)}")
