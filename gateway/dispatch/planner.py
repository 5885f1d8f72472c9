"""The plan for a due task: its backend, and the message for the engine. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import orjson

from backends.port import Capability, WorkflowRef, WorkflowStart
from gateway.access.placement import Placement
from gateway.dispatch.engine_start import StartBuilder
from gateway.dispatch.lane import Lane
from gateway.limits.gate import Gate
from gateway.routing.router import Route, RouteQuery, Router
from gateway.routing.rules import FALLBACK, REDRIVE, WORKFLOW
from gateway.routing.stages import Stage, allows
from gateway.submission.new_task import NewTask, RetryOverride, first_ref
from gateway.submission.start_plan import StartPlan, plan_to_start, plan_to_wait
from gateway.tasks.payload import decode_payload, size_of

#: Of a tenant's tasks of a type; None: they have a handler.
WorkflowNamer = Callable[[str | None, str], str | None]


class Planner:
    """Plans starts into these lanes. `gives_up_on` tells whether tasks that wait for a lane may go to another one."""

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        router: Router,
        gate: Gate,
        starts: StartBuilder,
        *,
        gives_up_on: Callable[[Lane], bool],
        name_workflow: WorkflowNamer,
    ) -> None:
        self._lanes = lanes
        self._router = router
        self._gate = gate
        self._starts = starts
        self._gives_up_on = gives_up_on
        self._name_workflow = name_workflow

    def plan(self, task: NewTask) -> StartPlan:
        """Choose the backend of a new task, if it is due and its lane is free."""
        if task.not_before is not None and task.not_before > datetime.now(UTC):
            return plan_to_wait(task.not_before)
        if task.held is not None:
            return plan_to_wait(held=task.held)
        place = task.placement
        route = self._router.route(
            RouteQuery(place.tenant_id, task.task_type, task.task_id, place.project_id, plan=place.plan)
        )
        if task.dag_run_id is not None:
            route = self._pin(route)
        lane = self._lanes.get(route.backend)
        if not self._gate.is_open(place.tenant_id, place.project_id, task.task_type):
            return plan_to_wait()
        if lane is None or not route.usable or not lane.is_free:
            return plan_to_wait()
        start = self._starts.build(
            first_ref(task),
            task.payload,
            place,
            priority=task.priority,
            weight=self._gate.weight_of(place.tenant_id),
            retry=task.retry,
            workflow=self._workflow_of(route.backend, place.tenant_id, task.task_type),
        )
        return plan_to_start(
            route.backend,
            str(route.stage),
            start,
            rule=route.rule,
            entry_id=route.entry_id,
            flag=route.flag,
            size=size_of(task.payload),
        )

    def plan_due(self, row: asyncpg.Record, planned: Mapping[str, int]) -> StartPlan:
        """The plan for a due row, after `planned` others on each backend; no `start` if its backend cannot take it."""
        place = Placement(row["tenant_id"], row["project_id"], row["plan"])
        size = len(row["payload"] or "")
        if row["state"] == "starting":
            start = self._start_of(row, place, row["epoch"], row["backend"], row["queue"] or "")
            return plan_to_start(
                row["backend"],
                row["stage"] or "",
                start,
                rule=row["rule"],
                entry_id=row["entry_id"],
                repeated=True,
                size=size,
            )
        route = self._route(row, place)
        lane = self._lane_for(route, may_change=row["dag_run_id"] is None)
        if lane is None or self._may_still_run(row, route):
            return plan_to_wait(row["due_at"], route.backend)
        backend = lane.engine.name
        if not lane.takes_one_more(planned.get(backend, 0)):
            return plan_to_wait(row["due_at"], backend)
        start = self._start_of(row, place, row["epoch"] + 1, backend)
        rule = route.rule if backend == route.backend else FALLBACK
        return plan_to_start(
            backend, str(route.stage), start, rule=rule, entry_id=route.entry_id, flag=route.flag, size=size
        )

    def _start_of(
        self, row: asyncpg.Record, place: Placement, epoch: int, backend: str, queue: str | None = None
    ) -> WorkflowStart:
        return self._starts.build(
            WorkflowRef(row["task_id"], epoch, row["group_id"], row["task_type"]),
            decode_payload(row["payload"]),
            place,
            priority=row["priority"],
            weight=self._gate.weight_of(place.tenant_id),
            retry=_own_retry(row),
            queue=queue,
            workflow=self._workflow_of(backend, place.tenant_id, row["task_type"]),
            trace=orjson.loads(row["trace"]) if row["trace"] else None,
        )

    def _lane_for(self, route: Route, *, may_change: bool) -> Lane | None:
        """The lane of the route's backend; if that is down for too long, the other one, if the stage allows it."""
        lane = self._lanes.get(route.backend)
        if not route.usable or lane is None:
            return None
        if not lane.is_down:
            return lane
        if not may_change or not self._gives_up_on(lane) or route.stage is Stage.COMPLETE:
            return None
        return next((other for other in self._lanes.values() if other is not lane and not other.is_down), None)

    def _may_still_run(self, row: asyncpg.Record, route: Route) -> bool:
        """Whether to wait until the engine knows of a stopped start, because its workers run without a claim.

        At stage `complete` that engine may be gone for good, so nothing waits for it.
        """
        if route.stage is Stage.COMPLETE:
            return False
        lanes = (self._lanes.get(backend) for backend in row["unconfirmed_cancels"])
        return any(lane is not None and Capability.FENCED not in lane.engine.capabilities for lane in lanes)

    def _route(self, row: asyncpg.Record, place: Placement) -> Route:
        """Where the flag sends the task, or where a redrive wants it, if the stage still allows that."""
        route = self._router.route(
            RouteQuery(place.tenant_id, row["task_type"], row["task_id"], place.project_id, plan=place.plan)
        )
        if row["dag_run_id"] is not None:
            return self._pin(route)
        wanted = row["wanted_backend"]
        if wanted is not None and wanted in self._lanes and allows(route.stage, wanted):
            return replace(route, backend=wanted, usable=True, problem=None, flag=None, rule=REDRIVE)
        return route

    def _workflow_of(self, backend: str, tenant_id: str | None, task_type: str) -> str | None:
        """The workflow that runs tasks of this type there; None: a handler runs them."""
        able = Capability.WORKFLOWS in self._lanes[backend].engine.capabilities
        return self._name_workflow(tenant_id, task_type) if able else None

    def _pin(self, route: Route) -> Route:
        """Runs of DAGs and their nodes stay on the backend with workflows, even if the flag changes."""
        for name, lane in self._lanes.items():
            if Capability.WORKFLOWS in lane.engine.capabilities:
                return replace(route, backend=name, usable=True, problem=None, flag=None, rule=WORKFLOW)
        return replace(route, usable=False)


def _own_retry(row: asyncpg.Record) -> RetryOverride:
    """The retry override of the submission. The number of attempts is always that of the row."""
    return RetryOverride(row["max_attempts"], row["retry_initial"], row["retry_coefficient"], row["retry_maximum"])
