"""Plans of a leader over PostgreSQL: the flag in the database, a clock of their own, and leaders that die."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from gateway.migration.drain.report import Left, Report
from gateway.migration.drain.verdict import Counts, DrainVerdict
from gateway.migration.flags.store import FlagStore, TableStore
from gateway.migration.guardrails.counting import Counting
from gateway.migration.guardrails.evaluator import Evaluator
from gateway.migration.guardrails.places import Places
from gateway.migration.guardrails.webhook import Webhook
from gateway.migration.parity.evidence import Evidence
from gateway.migration.parity.histogram import bucket_of
from gateway.migration.parity.parity import Parity
from gateway.migration.plans.checking import PlanChecker, Written
from gateway.migration.plans.override_fallback import OverrideFallback
from gateway.migration.plans.plan_runner import PlanRunner
from gateway.migration.plans.plans import Plans
from gateway.migration.plans.requests import Act, ActOnPlan
from gateway.migration.plans.trouble import Gates, Trouble
from gateway.migration.plans.wave_mover import WaveMover
from gateway.migration.stages.requests import ClearOverride, SetStage
from gateway.migration.stages.service import StageService
from gateway.recovery.fenced_database import FencedDatabase
from gateway.routing.flag_edit import settings_of
from gateway.routing.query import RouteQuery
from gateway.routing.stages import Stage
from gateway.sandbox.pool import Sandbox
from gateway.storage.database import Database
from tests.integration.migration.plans.elsewhere import Elsewhere
from workers.testing.waiting import until

KEY = "task-backend"
#: A plan of four tenants: acme, then globex, then initech and umbrella.
THREE = """\
name: spring
why: the move
bake: 1h
waves:
- {name: pilot, tenants: [acme]}
- {tier: vip}
- {percent: 100}
"""


class Died(BaseException):
    """The process of a leader, as far as PostgreSQL can tell."""


class Redis:
    async def check_health(self) -> None:
        """It is there."""


class Drains:
    """So many tasks of a tenant are left on Redis."""

    def __init__(self) -> None:
        self.left: dict[str, int] = {}

    async def report(self, tenant_id: str) -> Report:
        tasks = self.left.get(tenant_id, 0)
        verdict = DrainVerdict.DRAINING if tasks else DrainVerdict.DRAINED
        left = Left(tenant_id, "live", verdict, [], Counts(queued=tasks), None, None, 0.0, 0.0, None, None)
        return Report(datetime.now(UTC), left, [], tasks, tasks, [])


@dataclass
class PlanWorld:
    """Plans, one gateway that leads, and what happens to tenants."""

    database: Database
    routing: Any
    sandbox: Sandbox
    drain: Any = field(default_factory=Drains)
    now: datetime = datetime(2026, 11, 28, 12, tzinfo=UTC)
    idle: float = 0.0
    died: type[BaseException] = Died
    store: Callable[[Database], FlagStore] = lambda database: TableStore(database, KEY)

    def __post_init__(self) -> None:
        self.checker = PlanChecker(self.sandbox)
        self.plans = Plans(self.database, self.checker, now=self.clock)
        self.stages = self._door(self.database)

    async def clock(self) -> datetime:
        return self.now

    def _door(self, database: Database) -> StageService:
        return StageService(database, self.store(database), KEY, "test", configured=frozenset({"redis", "temporal"}))

    async def begin_term(self) -> None:
        """The next leader, which knows nothing but what PostgreSQL says."""
        fenced = FencedDatabase(self.database)
        fenced.term = await self.database.fetchval(
            "INSERT INTO taskgate.leadership AS l (term, holder) VALUES (1, 'test')"
            " ON CONFLICT (is_only) DO UPDATE SET term = l.term + 1 RETURNING term"
        )
        routing = self.routing
        mover = WaveMover(fenced, self._door(fenced), OverrideFallback(fenced, None), routing.flags.document)
        gates = Gates(fenced, Parity(fenced, routing.router, days=30), self.drain)
        trouble = Trouble(fenced, routing.flags.document)
        self.runner = PlanRunner(
            fenced, mover, trouble, gates, PlanChecker(self.sandbox), now=self.clock, monotonic=lambda: self.idle
        )
        self.guardrails = Evaluator(
            fenced,
            Counting(Evidence(fenced), monotonic=lambda: self.idle),
            Places(routing.router, routing.flags, routing.overrides),
            Redis(),  # type: ignore[arg-type]
            webhook=Webhook(None),
            wake=lambda: None,
        )

    async def write(self, text: str, who: str = "ada") -> dict[str, Any]:
        name = text.partition("name: ")[2].partition("\n")[0]
        return await self.plans.put(who, name, Written.of(text), None)

    async def act(self, act: str, name: str = "spring", *, who: str = "ada", **more: Any) -> dict[str, Any]:
        return await self.plans.act(who, name, ActOnPlan(act=Act(act), why="a test", **more))

    async def plan(self, name: str = "spring") -> dict[str, Any]:
        return await self.plans.get(name)

    async def tick(self, times: int = 1, *, minutes: float = 0) -> None:
        """The leader looks; then time passes. A leader that died is followed by the next one."""
        for _ in range(times):
            try:
                await self.runner.tick()
            except Died:
                await self.begin_term()
            self.now += timedelta(minutes=minutes)
            self.idle += 1 + minutes * 60

    async def until(self, state: str, *, minutes: float = 0, most: int = 200, name: str = "spring") -> dict[str, Any]:
        """The plan as it is in this state."""
        for _ in range(most):
            if (plan := await self.plan(name))["state"] == state:
                return plan
            await self.tick(minutes=minutes)
        raise AssertionError(f"it is {plan['state']}: {plan['says']}")

    async def settings(self) -> dict[str, str]:
        """The stages of tenants, as the flag has them."""
        _, document = await self.stages.document()
        found = settings_of(document["flags"][KEY])
        return {str(scope.tenant_id): str(stage) for scope, stage in found.items()}

    async def flips(self) -> dict[str, int]:
        """How often the flag changed for each tenant."""
        rows = await self.database.fetch(
            "SELECT scope, count(*) AS n FROM taskgate.ledger"
            " WHERE kind = 'flip' AND source = $1 AND scope LIKE 'tenant:%' GROUP BY 1",
            self.stages._store.source,
        )
        return {row["scope"].removeprefix("tenant:"): row["n"] for row in rows}

    async def add_tenants(self, names: Sequence[str], plan: str = "free") -> None:
        await self.database.execute(
            "INSERT INTO tenants (id, name, owner_id, plan) SELECT t, t, 'u', $2 FROM unnest($1::text[]) AS t",
            list(names),
            plan,
        )

    async def watch(self, tenant: str) -> None:
        """Guardrails look, once they have heard that this tenant moved."""
        await self.routing.until_stage(Stage.LIVE, RouteQuery(tenant, "backup", plan=None))
        await self.guardrails.tick()

    async def ran(self, tenant: str, backend: str, count: int, failed: int, *, minutes_ago: float = 0) -> None:
        """So many tasks ended in one minute, and of them so many failed at first."""
        run = [0] * bucket_of(1.0) + [count]
        for is_everybody in (False, True):
            await self.database.execute(
                "INSERT INTO taskgate.outcome_slice AS s (is_everybody, tenant_id, task_type, backend, slice_at, ended,"
                " lost, first, failed, over, retried, dead, attempts, run, wait, total, late)"
                " VALUES ($1, $2, 'backup', $3, date_bin('1 minute', now() - make_interval(secs => $4), 'epoch'), $5,"
                " 0, $5, $6, $5, $6, 0, $5, $7, '{}', '{}', '{}')"
                " ON CONFLICT DO NOTHING",
                is_everybody,
                "" if is_everybody else tenant,
                backend,
                minutes_ago * 60,
                count,
                failed,
                run,
            )

    async def trip(self, tenant: str) -> None:
        """Its tasks fail on Temporal, which they did not on Redis."""
        await self.routing.until_stage(Stage.LIVE, RouteQuery(tenant, "backup", plan=None))
        await self.ran(tenant, "redis", 1000, 10, minutes_ago=60)
        await self.guardrails.tick()
        await self.database.execute(
            "INSERT INTO taskgate.outcome (position, at, task_id, attempt, tenant_id, task_type, backend, failed,"
            " retried, dead, worker_lost, run_seconds)"
            " SELECT nextval('taskgate.outcome_position'), now(), 't' || n, 1, $1, 'backup', 'temporal', true, false,"
            " false, false, 1.0 FROM generate_series(1, 30) AS n",
            tenant,
        )
        await self.guardrails.tick()
        await self.routing.until_stage(Stage.OFF, RouteQuery(tenant, "backup", plan=None))

    async def mend(self, tenant: str) -> None:
        """A person clears the guardrail's override."""
        version = await self.database.fetchval(
            "SELECT version FROM taskgate.route_override WHERE tenant_id = $1", tenant
        )
        await self.stages.overrides.clear("ada", ClearOverride(tenant_id=tenant, why="mended", based_on=version))
        await self.routing.until_stage(Stage.LIVE, RouteQuery(tenant, "backup", plan=None))
        await self.guardrails.tick()


NewRouting = Callable[..., Awaitable[Any]]


@pytest_asyncio.fixture
async def world(database: Database, new_routing: NewRouting, plan_sandbox: Sandbox) -> PlanWorld:
    """Tenants acme, globex (VIP), initech and umbrella at stage off, and a leader."""
    await database.execute("INSERT INTO users (id, email, name) VALUES ('u', 'u', 'u')")
    world = PlanWorld(database, await new_routing(), plan_sandbox)
    await world.add_tenants(["acme", "initech", "umbrella"])
    await world.add_tenants(["globex"], "vip")
    await world.begin_term()
    return world


@pytest_asyncio.fixture
async def elsewhere(world: PlanWorld, monkeypatch: pytest.MonkeyPatch) -> PlanWorld:
    """The same, with a flag that others hold."""
    monkeypatch.setattr(Elsewhere, "is_away", False)
    world.store = lambda database: Elsewhere(database, KEY)
    world.stages = world._door(world.database)
    await world.begin_term()
    version, _ = await world.stages.document()
    await world.stages.set("ada", SetStage(everything=True, stage="off", why="a flag", based_on=version))
    await until(lambda: world.routing.flags.document() is not None)
    return world
