"""What a rampdown of a tenant moves, and what stays and why: counted, and nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import asyncpg

from backends.port import Capability, WorkflowEnginePort
from gateway.errors import TenantNotFound
from gateway.migration.rampdown.rampdown import SQL
from gateway.routing.overrides import SQL as ROUTING_SQL
from gateway.routing.overrides import Executor
from gateway.routing.query import RouteQuery
from gateway.routing.router import Route, Router
from gateway.routing.stages import Stage, backend_of

_HELD: Final = SQL.held.replace(":why_it_stays", SQL.why_it_stays)


@dataclass(frozen=True, slots=True)
class RampdownReport:
    """Tasks of one tenant, counted at one moment; what workers take meanwhile is not foreseen.

    `stage` is the tenant's in general. `moves` leave their engine for where the stage sends them, `goes_back` of them
    from Temporal; `on_the_way` wait to be started now, `later` are delayed or repeated and follow the flag by
    themselves, `held` wait for a quota or a pause. `stays` says why, and how many. `problem`: what keeps tasks from
    moving now.
    """

    tenant_id: str
    stage: Stage
    dry_run: bool
    moves: int
    goes_back: int
    on_the_way: int
    later: int
    held: int
    stays: Mapping[str, int]
    problem: str | None


def document(report: RampdownReport) -> dict[str, Any]:
    """As HTTP and gRPC answer it."""
    return {**asdict(report), "stays": [{"why": why, "tasks": tasks} for why, tasks in report.stays.items()]}


class RampdownReports:
    """`dry_run` supposes that the tenant's stage is `rampdown`; what is more specific than that keeps its own stage.

    A percentage by task is asked about tasks of the kind in general.
    """

    def __init__(
        self,
        database: Executor,
        engines: Mapping[str, WorkflowEnginePort],
        router: Router,
        *,
        is_down: Callable[[str], bool],
    ) -> None:
        self._db = database
        self._engines = engines
        self._router = router
        self._is_down = is_down

    async def read(self, tenant_id: str, *, dry_run: bool) -> RampdownReport:
        """Raises `TenantNotFound`, `DatabaseUnavailable`."""
        tenant = await self._db.fetchrow(ROUTING_SQL.tenant_plan, tenant_id)
        if tenant is None:
            raise TenantNotFound
        plan = tenant["plan"]
        general = self._route(tenant_id, plan, "", None)
        counts: Counter[str] = Counter()
        stays: Counter[str] = Counter()
        for row in await self._db.fetch(_HELD, tenant_id):
            kind, tasks = self._kind(row, plan, tenant_id, general, dry_run=dry_run), row["tasks"]
            if kind in ("moves", "goes_back", "on_the_way", "later", "held"):
                counts[kind] += tasks
            elif kind:
                stays[kind] += tasks
        target = self._supposed(general, general, dry_run=dry_run)
        return RampdownReport(
            tenant_id=tenant_id,
            stage=general.stage,
            dry_run=dry_run,
            moves=counts["moves"] + counts["goes_back"],
            goes_back=counts["goes_back"],
            on_the_way=counts["on_the_way"],
            later=counts["later"],
            held=counts["held"],
            stays=dict(stays.most_common()),
            problem=self._problem(target),
        )

    def _kind(
        self, row: asyncpg.Record, plan: str | None, tenant_id: str, general: Route, *, dry_run: bool
    ) -> str | None:
        """What these tasks count as: one of the report's numbers, or why they stay; None: no business of a rampdown."""
        if row["state"] == "waiting":
            return "held" if row["is_held"] else "later" if row["is_later"] else "on_the_way"
        engine = self._engines.get(row["backend"])
        can_leave = engine is not None and Capability.WITHDRAW in engine.capabilities
        can_return = engine is not None and Capability.FENCED in engine.capabilities and row["stage"] == Stage.RAMPDOWN
        stage, target = self._supposed(
            self._route(tenant_id, plan, row["task_type"], row["project_id"]), general, dry_run=dry_run
        )
        if not can_leave:
            not_begun = row["state"] == "queued" and row["why"] is None and not row["has_begun"]
            goes = can_return and not_begun and target != row["backend"]
            return "goes_back" if goes else None
        if row["state"] != "queued":
            return str(row["state"])
        if row["why"] is not None:
            return str(row["why"])
        return "moves" if stage is Stage.RAMPDOWN and target != row["backend"] else f"stage_{stage}"

    def _route(self, tenant_id: str, plan: str | None, task_type: str, project_id: str | None) -> Route:
        return self._router.route(RouteQuery(tenant_id, task_type, "", project_id, plan=plan))

    def _supposed(self, route: Route, general: Route, *, dry_run: bool) -> tuple[Stage, str]:
        """Stage and backend; with `dry_run` those of a rampdown, for whoever has the tenant's own stage."""
        if dry_run and route.stage is general.stage:
            return Stage.RAMPDOWN, backend_of(Stage.RAMPDOWN)
        return route.stage, route.backend

    def _problem(self, supposed: tuple[Stage, str]) -> str | None:
        stage, backend = supposed
        if backend not in self._engines:
            return f"stage {stage} asks for {backend}, which is not configured here"
        return f"{backend} cannot be reached" if self._is_down(backend) else None
