"""Builds the jobs of the leader, and the database that only the leader may write to."""

from __future__ import annotations

from collections.abc import Callable

from gateway.bootstrap.dependencies import Dependencies
from gateway.bootstrap.migration import build_runner
from gateway.bootstrap.rehearsal import RehearsalParts
from gateway.bootstrap.retention import build_retention
from gateway.dispatch.dispatcher import Dispatcher
from gateway.ingress.bridge import SQL as BRIDGE_SQL
from gateway.ingress.bridge import Bridge
from gateway.ingress.foreign import SQL as FOREIGN_SQL
from gateway.ingress.foreign import ForeignWatch
from gateway.migration.guardrails.counting import Counting
from gateway.migration.guardrails.evaluator import LOOK_SECONDS as GUARD_SECONDS
from gateway.migration.guardrails.evaluator import Evaluator
from gateway.migration.guardrails.places import Places
from gateway.migration.guardrails.store import SQL as GUARDRAILS_SQL
from gateway.migration.guardrails.webhook import Webhook
from gateway.migration.parity.evidence import Evidence
from gateway.migration.parity.recorder import LOOK_SECONDS, Recorder
from gateway.migration.plans.plan_runner import LOOK_SECONDS as PLAN_SECONDS
from gateway.migration.rampdown.rampdown import Rampdown
from gateway.observability.tally import Tally
from gateway.recovery.duties import EngineDuties
from gateway.recovery.engine_check import EngineCheck
from gateway.recovery.fenced_database import FencedDatabase
from gateway.recovery.leader import Chore, Leader
from gateway.recovery.mark import ADVANCE_SECONDS, Mark
from gateway.recovery.reaper import SQL as REAPER_SQL
from gateway.recovery.reaper import Reaper
from gateway.recovery.reconciler import Reconciler
from gateway.storage.database import Database
from gateway.storage.forgetting import forget
from gateway.tasks.lifecycle.transitions import Transitions

#: Pause between two looks at what runs and tasks came to (seconds).
TALLY_SECONDS = 5.0
#: Pause between two deletions of expired records (seconds).
FORGET_SECONDS = 3600.0
#: Pause between two renewals of what waits in an engine (seconds).
FRESH_SECONDS = 30.0
#: Pause between two looks for tasks to be rehearsed (seconds).
REHEARSE_SECONDS = 0.5


def build_leader(
    dependencies: Dependencies,
    dispatcher: Dispatcher,
    duties: EngineDuties,
    rehearsal_on: Callable[[Database], RehearsalParts],
) -> Leader:
    """`rehearsal_on`: the rehearsal that writes to this database."""
    settings, database = dependencies.settings, FencedDatabase(dependencies.database)
    events = dependencies.telemetry.events
    reaper = Reaper(
        database,
        dependencies.notifier,
        limit=settings.lease_seconds,
        grace=settings.lease_grace_seconds,
        losses=settings.task_losses,
        wake=dispatcher.wake,
        on_duty=duties.wake,
        on_lost=events.lease_lost,
    )
    transitions = Transitions(database, dependencies.notifier, retry=settings.retry_policy, on_stop=duties.wake)
    pause = settings.reconcile_seconds
    tally = Tally(database, dependencies.telemetry.tasks)
    reconciler = Reconciler(
        database,
        dependencies.engines,
        dependencies.notifier,
        on_corrected=events.corrected,
        on_ended=tally.count_late,
    )

    async def reconcile() -> None:
        async with tally.lock:
            await reconciler.tick()

    chores = [
        Chore("reaping", reaper.tick, settings.reap_seconds),
        Chore("reconciling", reconcile, pause),
        Chore("counting", tally.tick, TALLY_SECONDS),
        Chore("expiring", transitions.expire, pause),
        Chore("forgetting", lambda: _forget(database), FORGET_SECONDS),
        Chore("deleting what is old", build_retention(dependencies, database).tick, FORGET_SECONDS),
    ]
    recorder = Recorder(database)
    chores += [
        Chore("counting what ended", recorder.tick, LOOK_SECONDS),
        Chore("forgetting what was counted", lambda: recorder.forget(settings.parity_days), FORGET_SECONDS),
    ]
    for name, engine in dependencies.engines.items():
        check = EngineCheck(
            database,
            engine,
            dependencies.notifier,
            is_down=dispatcher.is_down,
            wake=dispatcher.wake,
            on_corrected=events.corrected,
        )
        chores += [
            Chore(f"comparing with {name}", check.check_open, pause),
            Chore(f"reading what ended on {name}", check.merge_ended, pause),
            Chore(f"ending what {name} has ended", check.settle, pause),
            Chore(f"keeping tasks of {name} fresh", check.keep_fresh, FRESH_SECONDS),
            Chore(f"checking the memory of {name}", check.check_memory, pause),
        ]
    if dependencies.redis is not None:
        chores.append(Chore("advancing the mark", Mark(database, dependencies.redis).tick, ADVANCE_SECONDS))
    watch = ForeignWatch(database, dependencies.redis, seconds=settings.past_gateway_seconds)
    chores.append(Chore("looking past the gateway", watch.tick, min(settings.past_gateway_seconds, 1.0)))
    rampdown = Rampdown(
        database,
        dependencies.engines,
        dependencies.router,
        is_down=dispatcher.is_down,
        wake=dispatcher.wake,
        on_duty=duties.wake,
        fenced=settings.fence_enabled,
    )
    chores.append(Chore("ramping down", rampdown.tick, pause))
    guardrails = Evaluator(
        database,
        Counting(Evidence(database)),
        Places(dependencies.router, dependencies.flags, dependencies.overrides),
        dependencies.engines.get("redis"),
        webhook=Webhook(settings.guardrail_webhook_url),
        wake=lambda: None,
    )
    chores.append(Chore("guarding moves", guardrails.tick, GUARD_SECONDS))
    kept = settings.guardrail_days
    chores.append(
        Chore("forgetting guardrails", lambda: forget(database, GUARDRAILS_SQL.forget_events, kept), FORGET_SECONDS)
    )
    chores.append(Chore("carrying out plans", build_runner(dependencies, database).tick, PLAN_SECONDS))
    parts = rehearsal_on(database)
    chores.append(Chore("rehearsing", parts.rehearsal.tick, REHEARSE_SECONDS))
    if parts.probes is not None:
        chores.append(Chore("probing", parts.probes.tick, REHEARSE_SECONDS))
    days = settings.rehearsal_days
    chores.append(Chore("forgetting rehearsals", lambda: parts.rehearsal.forget(days), FORGET_SECONDS))
    bridge = build_bridge(dependencies, database, wake=dispatcher.wake)
    if bridge is not None:
        chores.append(Chore("bridging", bridge.tick, settings.ingress_bridge_seconds))
    return Leader(database, lambda: dependencies.lease.process_id, chores)


def build_bridge(dependencies: Dependencies, database: Database, *, wake: Callable[[], None]) -> Bridge | None:
    """Only where there is a Redis queue that legacy producers write to."""
    if dependencies.redis is None:
        return None
    return Bridge(
        database,
        dependencies.redis.ingress,
        dependencies.router,
        dependencies.notifier,
        enabled=dependencies.settings.ingress_bridge,
        max_attempts=dependencies.settings.task_attempts,
        wake=wake,
    )


async def _forget(database: FencedDatabase) -> None:
    await database.execute(REAPER_SQL.forget_processes)
    await database.execute(BRIDGE_SQL.forget_old)
    await database.execute(FOREIGN_SQL.forget_sightings)
