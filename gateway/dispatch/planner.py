"""What becomes of a task that is due: which backend it goes to, and what the engine is told of it. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg

from backends.port import Capability, RetryPolicy, WorkflowRef
from gateway.access.placement import Tier
from gateway.dispatch.engine_start import start_of
from gateway.dispatch.lane import Lane
from gateway.dispatch.starter import REPEAT_SECONDS
from gateway.limits.gate import Gate
from gateway.routing.router import Route, RouteQuery, Router
from gateway.routing.stages import Stage, allows
from gateway.submission.new_task import NewTask, RetryOverride, first_ref
from gateway.submission.start_plan import Launch
from gateway.tasks.payload import decode_payload

QueueNamer = Callable[[str | None, Tier, str], str]
#: Of a tenant's tasks of a type; None: they have a handler.
WorkflowNamer = Callable[[str | None, str], str | None]


class Planner:
    """Plans launches into these lanes. `gives_up_on` tells whether what waits for a lane may go to another one."""

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        router: Router,
        gate: Gate,
        *,
        name_queue: QueueNamer,
        retry: RetryPolicy,
        gives_up_on: Callable[[Lane], bool],
        name_workflow: WorkflowNamer,
    ) -> None:
        self._lanes = lanes
        self._router = router
        self._gate = gate
        self._name_queue = name_queue
        self._retry = retry
        self._gives_up_on = gives_up_on
        self._name_workflow = name_workflow

    def plan(self, task: NewTask) -> Launch:
        """Choose the backend of a new task, if it is due and its lane is free."""
        now = datetime.now(UTC)
        if task.not_before is not None and task.not_before > now:
            return Launch("waiting", task.not_before)
        if task.held is not None:
            return Launch("waiting", now, held=task.held)
        place = task.placement
        route = self._router.route(
            RouteQuery(place.tenant_id, task.task_type, task.task_id, place.project_id, place.tier, place.plan)
        )
        if task.dag_run_id is not None:
            route = self._pin(route)
        lane = self._lanes.get(route.backend)
        if not self._gate.is_open(place.tenant_id, place.project_id, task.task_type):
            return Launch("waiting", now)
        if lane is None or not route.usable or not lane.is_free:
            return Launch("waiting", now)
        queue = self._name_queue(place.tenant_id, place.tier, task.task_type)
        start = start_of(
            first_ref(task),
            task.payload,
            tenant_id=place.tenant_id,
            project_id=place.project_id,
            tier=place.tier,
            queue=queue,
            priority=task.priority,
            weight=self._gate.weight_of(place.tenant_id),
            retry=self._retry if task.retry is None else task.retry.over(self._retry),
            workflow=self._workflow_of(route.backend, place.tenant_id, task.task_type),
        )
        repeat_at = now + timedelta(seconds=REPEAT_SECONDS)
        return Launch("starting", repeat_at, route.backend, str(route.stage), queue, start, flag=route.flag)

    def plan_due(self, row: asyncpg.Record) -> Launch:
        """What becomes of a due row; without a `start` while its backend cannot take it."""
        tier = Tier.of_plan(row["plan"])
        flag, repeated = None, row["state"] == "starting"
        if repeated:
            backend, stage, epoch, queue = row["backend"], row["stage"] or "", row["epoch"], row["queue"] or ""
        else:
            route = self._route(row, tier)
            lane = self._lane_for(route, may_change=row["dag_run_id"] is None)
            if lane is None or self._may_still_run(row, route):
                return Launch("waiting", row["due_at"], route.backend)
            if not lane.has_room:
                return Launch("waiting", row["due_at"], lane.engine.name)
            backend, stage, epoch = lane.engine.name, str(route.stage), row["epoch"] + 1
            queue, flag = self._name_queue(row["tenant_id"], tier, row["task_type"]), route.flag
        if backend not in self._lanes:
            return Launch("waiting", row["due_at"], backend)
        ref = WorkflowRef(row["task_id"], epoch, row["group_id"], row["task_type"])
        start = start_of(
            ref,
            decode_payload(row["payload"]),
            tenant_id=row["tenant_id"],
            project_id=row["project_id"],
            tier=tier,
            queue=queue,
            priority=row["priority"],
            weight=self._gate.weight_of(row["tenant_id"]),
            retry=_own_retry(row).over(self._retry),
            workflow=self._workflow_of(backend, row["tenant_id"], row["task_type"]),
        )
        return Launch("starting", row["due_at"], backend, stage, queue, start, flag=flag, repeated=repeated)

    def _lane_for(self, route: Route, *, may_change: bool) -> Lane | None:
        """The lane of the route's backend; when that is down for too long, the other's, if the stage allows it."""
        lane = self._lanes.get(route.backend)
        if not route.usable or lane is None:
            return None
        if not lane.is_down:
            return lane
        if not may_change or not self._gives_up_on(lane) or route.stage is Stage.COMPLETE:
            return None
        return next((other for other in self._lanes.values() if other is not lane and not other.is_down), None)

    def _may_still_run(self, row: asyncpg.Record, route: Route) -> bool:
        """A stopped start that its engine was not yet told of, where workers run without a claim: wait for that.

        At stage `complete` that engine may be gone for good, so nothing waits for it.
        """
        lane = self._lanes.get(row["cancel_backend"] or "")
        unfenced = lane is not None and Capability.FENCED not in lane.engine.capabilities
        return unfenced and row["cancel_epoch"] is not None and route.stage is not Stage.COMPLETE

    def _route(self, row: asyncpg.Record, tier: Tier) -> Route:
        """Where the flag sends the task; where a redrive wants it instead, if its stage still allows that."""
        route = self._router.route(
            RouteQuery(row["tenant_id"], row["task_type"], row["task_id"], row["project_id"], tier, row["plan"])
        )
        if row["dag_run_id"] is not None:
            return self._pin(route)
        wanted = row["wanted_backend"]
        if wanted is not None and wanted in self._lanes and allows(route.stage, wanted):
            return replace(route, backend=wanted, usable=True, problem=None, flag=None)
        return route

    def _workflow_of(self, backend: str, tenant_id: str | None, task_type: str) -> str | None:
        """The workflow that carries out tasks of this type there, None: a handler does."""
        able = Capability.WORKFLOWS in self._lanes[backend].engine.capabilities
        return self._name_workflow(tenant_id, task_type) if able else None

    def _pin(self, route: Route) -> Route:
        """Runs of DAGs and their nodes stay where workflows are, whatever the flag says meanwhile."""
        for name, lane in self._lanes.items():
            if Capability.WORKFLOWS in lane.engine.capabilities:
                return replace(route, backend=name, usable=True, problem=None, flag=None)
        return replace(route, usable=False)


def _own_retry(row: asyncpg.Record) -> RetryOverride:
    """What the task was submitted with. Its attempts are those of the row in any case."""
    return RetryOverride(row["max_attempts"], row["retry_initial"], row["retry_coefficient"], row["retry_maximum"])
