"""Runs of DAGs for users and services: start, cancel, retry, approve, signal, skip."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from backends.port import Capability, WorkflowEnginePort
from gateway.access.admission import Admission
from gateway.access.placement import Caller
from gateway.dags.answers import Answers
from gateway.dags.errors import DagBackendMissing, DagInvalid, DagRunConflict, DagRunNotFound, Fault
from gateway.dags.limits import Limits
from gateway.dags.memory import fail_memory
from gateway.dags.parameters import bind
from gateway.dags.paths import APPROVAL_TYPE, RUN_TYPE, path_of
from gateway.dags.requests import tenant_of
from gateway.dags.run_reader import SQL as STEPS
from gateway.dags.run_request import RunRequest
from gateway.dags.store import DagStore, DagVersion
from gateway.errors import TaskNotRetryable, TaskNotStoppable
from gateway.migration.command import command
from gateway.routing.query import RouteQuery
from gateway.routing.router import Route, Router
from gateway.storage.database import Database, type_Connection
from gateway.storage.queries import Queries
from gateway.submission.idempotency import Idempotency, Replay
from gateway.submission.ids import new_task_id
from gateway.submission.intake import Intake
from gateway.submission.new_task import NewTask
from gateway.tasks.lifecycle.transitions import STOP_CHANNEL, ChangeNotifier, Transitions

SQL = Queries("gateway.dags", "runs.sql")

_PATH = re.compile(r"^([A-Za-z][A-Za-z0-9_]*)(?:\[(\d{1,9})\])?$")


class DagRuns:
    """Every method raises `DatabaseUnavailable`, and `DagRunNotFound` for a run that its caller may not see."""

    def __init__(
        self,
        database: Database,
        store: DagStore,
        intake: Intake,
        transitions: Transitions,
        router: Router,
        engines: Mapping[str, WorkflowEnginePort],
        notifier: ChangeNotifier,
        limits: Limits,
        *,
        on_stop: Callable[[], None],
    ) -> None:
        self._db = database
        self._store = store
        self._intake = intake
        self._transitions = transitions
        self._router = router
        self._engines = engines
        self._notifier = notifier
        self._limits = limits
        self._on_stop = on_stop
        self._answers = Answers(database, notifier)

    # Starting -----------------------------------------------------------------------------------------------

    async def plan(self, admission: Admission, asked: RunRequest) -> tuple[NewTask, DagVersion, dict[str, Any]]:
        """What a run would be: all that starting it checks.

        Raises `InvalidRequest`, `DagNotFound`, and what `prepare` raises.
        """
        asked.check_labels()
        dag = await self._store.get(
            tenant_of(admission), asked.dag, None if asked.version is None else str(asked.version)
        )
        task, params = self.prepare(admission, dag, asked.params, priority=asked.priority, labels=asked.labels)
        return task, dag, params

    def prepare(
        self,
        admission: Admission,
        dag: DagVersion,
        params: Mapping[str, Any],
        *,
        priority: int = 3,
        labels: Mapping[str, str] | None = None,
        schedule_id: str | None = None,
    ) -> tuple[NewTask, dict[str, Any]]:
        """The task of a new run, and its parameters with defaults.

        Raises `DagInvalid` (parameters), `DagBackendMissing` (the tenant's tasks do not go where workflows are).
        """
        bound, faults = bind(dag.definition.params, params)
        size = len(orjson.dumps(bound))
        if not faults and size > self._limits.data_bytes:
            message = f"the parameters have {size} bytes, more than {self._limits.data_bytes}: name large data instead"
            faults = [Fault("too_large", "/params", message)]
        if faults:
            raise DagInvalid(faults, f"The parameters do not fit {dag.name}@{dag.version}: {faults[0].message}")
        place = admission.placement
        run_id = new_task_id()
        route = self._router.route(RouteQuery(place.tenant_id, RUN_TYPE, run_id, place.project_id, plan=place.plan))
        self._require_workflows(admission.caller, place.tenant_id, route)
        task = NewTask(
            task_type=RUN_TYPE,
            group_id=admission.group_of(RUN_TYPE),
            payload={
                "dag": dag.name,
                "version": dag.version,
                "tenant_id": place.tenant_id,
                "project_id": place.project_id,
                "user_id": admission.caller.user_id,
            },
            placement=place,
            user_id=admission.caller.user_id,
            entity_id=dag.name,
            entity_type="dag",
            priority=priority,
            labels=labels or None,
            schedule_id=schedule_id,
            dag_run_id=run_id,
            task_id=run_id,
        )
        return task, bound

    async def start(
        self, task: NewTask, dag: DagVersion, params: Mapping[str, Any], *, idempotency: Idempotency | None = None
    ) -> Replay | None:
        """Accept a prepared run; a `Replay` is the answer of an earlier request with the same key."""

        async def beside(db: type_Connection) -> None:
            await db.execute(
                STEPS.add_run,
                task.task_id,
                dag.owner,
                dag.name,
                dag.version,
                task.placement.tenant_id,
                task.placement.project_id,
                orjson.dumps(params).decode(),
                task.priority,
                None,
                None,
                1,
                task.user_id,
            )

        return await self._intake.submit([task], idempotency=idempotency, beside=beside)

    def _require_workflows(self, caller: Caller, tenant_id: str | None, route: Route) -> None:
        engine = self._engines.get(route.backend)
        if engine is not None and Capability.WORKFLOWS in engine.capabilities:
            return
        if not caller.is_admin:
            raise DagBackendMissing  # how the gateway is set up is for administrators
        able = sorted(name for name, one in self._engines.items() if Capability.WORKFLOWS in one.capabilities)
        why = f"tenant {tenant_id} is at stage {route.stage} ({route.reason}): its tasks go to {route.backend}"
        if not able:
            raise DagBackendMissing(
                f"DAGs need a workflow engine, and this gateway has none: set TASKGATE_TEMPORAL_ADDRESS ({why})"
            )
        whom: dict[str, str | bool] = {"default": True} if tenant_id is None else {"tenant": tenant_id}
        move = command("flags set", **whom, stage="live")
        raise DagBackendMissing(f"{route.backend} cannot run DAGs: {why}. Move it first: {move}")

    # Steering -----------------------------------------------------------------------------------------------

    async def row(self, run_id: str, caller: Caller) -> dict[str, Any]:
        """A run. Raises `DagRunNotFound`."""
        row = await self._db.fetchrow(SQL.get_run, run_id)
        if row is None or not caller.sees(row["tenant_id"], row["project_id"]):
            raise DagRunNotFound
        caller.check(row["tenant_id"], row["project_id"])
        return dict(row)

    async def list_runs(
        self,
        caller: Caller,
        *,
        name: str | None = None,
        states: list[str] | None = None,
        inside: bool = False,
        after: tuple[datetime, str] | None = None,
        limit: int = 50,
    ) -> list[dict[str, Any]]:
        """Newest first; with `inside` also runs that are nodes of others."""
        tenants = None if caller.is_admin else sorted(caller.tenant_ids)
        at, last = after or (None, None)
        return [
            dict(row) for row in await self._db.fetch(SQL.list_runs, tenants, name, states, at, last, limit, inside)
        ]

    async def result(self, run_id: str, path: str, caller: Caller) -> dict[str, Any]:
        """Task, status and result (JSON text) of a node; of a fan-out a list. Raises `DagRunNotFound`."""
        await self.row(run_id, caller)
        row = await self._db.fetchrow(SQL.node_result, run_id, path)
        if row is None:
            raise DagRunNotFound(f"The run has no node {path!r} that has been reached yet")
        if row["verdict"] != "expanded":
            return {"task_id": row["task_id"], "status": row["verdict"] or row["state"], "result": row["result"]}
        items = await self._db.fetch(SQL.item_results, run_id, path)
        text = ",".join(item["result"] or "null" for item in items)
        return {"task_id": None, "status": "expanded", "result": f"[{text}]"}

    async def cancel(self, run_id: str, caller: Caller) -> None:
        """Stop a run and all its open nodes. Raises `DagRunConflict` when it is over."""
        await self.row(run_id, caller)
        try:
            await self._transitions.stop(run_id)
        except TaskNotStoppable:
            raise DagRunConflict("The run is over already; there is nothing to cancel.") from None
        for row in await self._db.fetch(STEPS.stop_nodes, run_id, "The DAG was cancelled", STOP_CHANNEL):
            self._notifier.changed(row["task_id"])
        await fail_memory(self._db, run_id)
        self._on_stop()

    async def retry(self, run_id: str, caller: Caller) -> None:
        """Continue a failed or cancelled run with the same definition; completed nodes keep their results.

        Raises `DagRunConflict`, `DagBackendMissing`.
        """
        run = await self.row(run_id, caller)
        route = self._router.route(RouteQuery(run["tenant_id"], RUN_TYPE, run_id, run["project_id"], plan=run["plan"]))
        self._require_workflows(caller, run["tenant_id"], route)
        if run["parent_run"] is not None:
            raise DagRunConflict(f"This run is a node of another; retry that one: {run['parent_run']}")
        try:
            await self._transitions.retry(run_id)
        except TaskNotRetryable:
            raise DagRunConflict(
                f"Only a failed or cancelled run can be retried; this one is {run['state']}."
            ) from None

    async def approve(self, run_id: str, path: str, caller: Caller, *, approved: bool, comment: str | None) -> None:
        """Answer an approval. Raises `DagRunConflict` if it was answered already, or if nothing waits."""
        await self.row(run_id, caller)
        answer = {
            "approved": approved,
            "by": caller.user_id,
            "comment": comment,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        if await self._answers.approve(run_id, path, answer):
            return
        node = next(iter(await self._db.fetch(SQL.nodes, run_id, [path], True, 1)), None)
        if node is None:
            raise DagRunNotFound(f"The run has no node {path!r} that has been reached yet")
        if node["task_type"] != APPROVAL_TYPE:
            raise DagRunConflict(f"{path} is not an approval")
        if node["answer"] is not None:
            given = orjson.loads(node["answer"])
            word = "approved" if given["approved"] else "rejected"
            raise DagRunConflict(f"{path} was {word} already, by {given['by']} at {given['at']}")
        raise DagRunConflict(f"{path} no longer waits for an approval; it is {node['verdict'] or node['state']}")

    async def signal(self, run_id: str, name: str, payload: Any, caller: Caller) -> list[str]:
        """Send a signal; the nodes that got it (none: it is kept for one to come). Raises `DagRunConflict`."""
        run = await self.row(run_id, caller)
        if run["state"] in ("completed", "failed", "stopped"):
            raise DagRunConflict(f"The run is over; nothing waits for {name!r}.")
        return await self._answers.signal(run_id, name, payload, caller.user_id)

    async def skip(self, run_id: str, path: str, reason: str, caller: Caller) -> None:
        """Skip a node that has not begun, that runs, or that failed: it counts as done, without a result.

        Raises `DagRunConflict` for one that was completed or skipped.
        """
        run = await self.row(run_id, caller)
        dag = await self._store.version(run["owner"], run["name"], run["version"])
        found = _PATH.match(path)
        node = None if found is None else dag.definition.nodes.get(found[1])
        if found is None or node is None or (found[2] is not None and node.for_each is None):
            raise DagRunNotFound(f"The DAG has no node {path!r}")
        position = None if found[2] is None else int(found[2])
        by = f"user:{caller.user_id}"
        if run["state"] == "completed":
            raise DagRunConflict("The run is completed; nothing can be skipped.")
        name = found[1]
        if position is not None and position >= await self._db.fetchval(SQL.items, run_id, name, position + 1):
            raise DagRunNotFound(f"The run has no node {path!r}: {name} has fewer items")
        if await self._db.fetchval(SQL.bypass_new, run_id, path_of(name, position), name, position, reason, by):
            self._notifier.changed(run_id)
            return
        row = await self._db.fetchrow(SQL.bypass, run_id, path, reason, by)
        if row is None:
            raise DagRunConflict(f"{path} was completed or skipped already")
        if row["task_id"] is not None and row["state"] not in ("failed", "stopped"):
            with contextlib.suppress(TaskNotStoppable):  # it ended meanwhile, and is skipped all the same
                await self._transitions.stop(row["task_id"])
        self._notifier.changed(row["task_id"] or run_id)
