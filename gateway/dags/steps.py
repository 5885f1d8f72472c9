"""The steps of a run for its workflow; each is one transaction that may be repeated (see `steps.sql`)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import orjson

from gateway.access.groups import covers_tenant, group_ids, groups_of_tenant
from gateway.dags.adoption import run_in
from gateway.dags.answers import Answers
from gateway.dags.batch import Batch, RunFacts
from gateway.dags.confinement import Confinement
from gateway.dags.direct import DirectStarts
from gateway.dags.errors import DagInvalid, DagNotFound, ExpressionFault
from gateway.dags.limits import Limits
from gateway.dags.memory import fail_memory
from gateway.dags.node_start import open_nodes, sources, undo_node
from gateway.dags.paths import RUNNER, RUNS_CHANNEL, path_of, task_id_of
from gateway.dags.run_reader import SQL, RunOver, RunReader, StepOutdated, expressions, has_ended_well
from gateway.dags.snapshot import make, nodes_that_may_fail
from gateway.dags.store import DagStore
from gateway.storage.database import Database, type_Connection
from gateway.submission.intake import Intake
from gateway.submission.new_task import NewTask
from gateway.tasks.lifecycle.transitions import DUE_CHANNEL, STOP_CHANNEL, ChangeNotifier

#: Of a node that is added, beside its run.
NODE_COLUMNS = 12
#: Starts of a run after the backup of which an undoing is known again: the one that was open, and retries.
STARTS_IN_GAP = 8


class DagSteps:
    """Carries out the decisions of workflows.

    Every method raises `DatabaseUnavailable` and `RunOver`; `open` and `undo` also `StepOutdated`.
    """

    def __init__(
        self,
        database: Database,
        intake: Intake,
        notifier: ChangeNotifier,
        limits: Limits,
        direct: DirectStarts,
    ) -> None:
        self._db = database
        self._intake = intake
        self._direct = direct
        self._notifier = notifier
        self._limits = limits
        self._answers = Answers(database, notifier)
        self._store = DagStore(database, limits, known_types=())
        self._reader = RunReader(database, self._store, limits)
        self._confinement = Confinement()

    async def close(self) -> None:
        """End the processes that evaluate expressions."""
        await self._confinement.close()

    async def begin(self, run_id: str, epoch: int) -> dict[str, Any]:
        """The run as it stands, at the beginning of its workflow or when that goes on under a new history."""
        if await self._db.fetchrow(SQL.hold_run, run_id, epoch) is None:
            await self._adopt(run_id, epoch)
        row = await self._held(self._db, run_id, epoch)
        dag = await self._reader.version(row["owner"], row["name"], row["version"])
        async with self._db.transaction() as db:
            row = await self._held(db, run_id, epoch)
            deadline = row["deadline_at"]
            await db.execute(SQL.begin_run, run_id, RUNNER)
            if row["run_epoch"] < epoch:
                deadline = await db.fetchval(SQL.take_over, run_id, epoch, dag.definition.deadline_seconds)
                await db.execute(SQL.want_again, run_id, nodes_that_may_fail(dag.definition))
            nodes = await db.fetch(SQL.nodes_to_begin, run_id)
            await db.execute("SELECT pg_notify($1, '')", RUNS_CHANNEL)
        self._notifier.changed(run_id)
        return make(
            dag.definition,
            dag.plan["needs"],
            [dict(node) for node in nodes],
            self._limits,
            deadline=deadline and deadline.isoformat(),
        )

    async def open(self, run_id: str, epoch: int, requests: list[list[Any]], percent: int) -> list[list[Any]]:
        """Open nodes; the answers are `workers.temporal.dag.state`'s."""
        paths = [path for request in requests for path in _paths(request)]
        run, known_nodes = await asyncio.gather(self._reader.facts(run_id, epoch), self._reader.nodes_at(run_id, paths))
        nodes = run.dag.definition.nodes
        fans = [name for name, kind, *_ in requests if kind in ("items", "again")]
        items = {name: await self._reader.items(run_id, name) for name in fans}
        wanted = [source for name, kind, *_ in requests for source in sources(nodes[name], whole=kind == "open")]
        opener = await self._reader.opener(run, paths, known_nodes, wanted)
        if wanted:
            answers, batch = await self._confinement.open(opener, requests, items)
        else:
            answers, batch = open_nodes(opener, requests, items)
        await self._write(run, batch, percent)
        return answers

    async def undo(self, run_id: str, epoch: int, name: str) -> list[int | None]:
        """Begin to undo a node: the positions of the tasks that do (None: it is no fan-out)."""
        run = await self._reader.facts(run_id, epoch)
        rows = [row for row in await self._db.fetch(SQL.nodes, run_id) if row["node"] == name and not row["undoes"]]
        done = [row["position"] for row in rows if has_ended_well(row)]
        compensation = run.dag.definition.nodes[name].compensate
        assert compensation is not None
        items = await self._reader.items(run_id, name) if any(position is not None for position in done) else []
        wanted = expressions(compensation.input)
        paths = [path_of(name, position, undoes=True) for position in done]
        opener = await self._reader.opener(run, paths, await self._reader.nodes_at(run_id, paths), wanted)
        if wanted:
            undoing, batch = await self._confinement.undo(opener, name, done, items)
        else:
            undoing, batch = undo_node(opener, name, done, items)
        await self._write(run, batch, None)
        return undoing

    async def finish(
        self, run_id: str, epoch: int, outcome: str, error: str | None, cause: str | None = None
    ) -> dict[str, Any]:
        """End the run: its outputs become the result of its task; what is still open is stopped."""
        run = await self._reader.facts(run_id, epoch)
        result = None
        if outcome == "completed":
            try:
                outputs = await self._reader.outputs(run)
                is_plain = not expressions(outputs.outputs)
                result = outputs.text() if is_plain else await self._confinement.outputs(outputs)
            except ExpressionFault as fault:
                outcome, error = "failed", f"outputs: {fault}"
        if outcome == "failed" and error is None:
            error = await self._reader.failure(run, is_cut_short=cause == "compensation")
        async with self._db.transaction() as db:
            await self._held(db, run_id, epoch)
            await db.execute(SQL.finish_run, run_id, outcome, error, result)
            stopped = await db.fetch(SQL.stop_nodes, run_id, _stop_reason(cause), STOP_CHANNEL)
            await fail_memory(db, run_id)
        for task_id in (run_id, *(row["task_id"] for row in stopped)):
            self._notifier.changed(task_id)
        return {"outcome": outcome, "error": error}

    # Reading ------------------------------------------------------------------------------------------------

    async def _held(self, db: Database | type_Connection, run_id: str, epoch: int) -> Any:
        row = await db.fetchrow(SQL.hold_run, run_id, epoch)
        if row is None:
            raise RunOver
        return row

    # Writing ------------------------------------------------------------------------------------------------

    async def _adopt(self, run_id: str, epoch: int) -> None:
        """A task that is to be carried out as a DAG gets its run, or fails. Raises `RunOver`."""
        task = await self._db.fetchrow(SQL.task_of_run, run_id, epoch)
        if task is None:
            raise RunOver
        try:
            dag, params = await run_in(self._store, dict(task))
        except (DagNotFound, DagInvalid) as problem:
            async with self._db.transaction() as db:
                await db.execute(SQL.begin_run, run_id, RUNNER)
                await db.execute(SQL.finish_run, run_id, "failed", problem.message, None)
                await fail_memory(db, run_id)
            self._notifier.changed(run_id)
            raise RunOver from None
        await self._db.execute(
            SQL.add_run,
            run_id,
            dag.owner,
            dag.name,
            dag.version,
            task["tenant_id"],
            task["project_id"],
            orjson.dumps(params).decode(),
            task["priority"],
            None,
            None,
            1,
            task["user_id"],
        )

    async def _write(self, run: RunFacts, batch: Batch, percent: int | None) -> None:
        """Everything of a batch, or nothing. Raises `RunOver`, `StepOutdated`."""
        again = [one.task for one in batch.again if one.task is not None]
        if any(covers_tenant(task.task_type, run.group_id, run.project_id) for task in (*batch.tasks, *again)):
            covered = group_ids(await groups_of_tenant(self._db, run.tenant_id, run.group_id))

            def covering(task: NewTask) -> NewTask:
                if not covers_tenant(task.task_type, run.group_id, run.project_id):
                    return task
                return replace(task, payload={**task.payload, **covered})

            batch.tasks = [covering(task) for task in batch.tasks]
            batch.again = [one if one.task is None else replace(one, task=covering(one.task)) for one in batch.again]
        columns = [list(column) for column in zip(*batch.nodes, strict=True)] or [[]] * NODE_COLUMNS
        plans = self._direct.plan(run, batch.tasks)
        is_due = bool(batch.again) or (bool(batch.tasks) and plans is None)

        async def beside(db: type_Connection) -> None:
            added = await db.fetchrow(SQL.add_nodes, run.run_id, run.epoch, percent, *columns, is_due, DUE_CHANNEL)
            if added is None:
                raise RunOver
            if added["added"] < len(batch.nodes):
                raise StepOutdated
            for child in batch.runs:
                await db.execute(SQL.add_run, *child.row_in(run))
            if batch.again:
                columns_again = zip(*(one.columns() for one in batch.again), strict=True)
                await db.fetch(SQL.reopen, run.run_id, *(list(column) for column in columns_again))
            for path, reason in batch.not_again:
                await db.execute(SQL.refuse_again, run.run_id, path, reason)

        async def after(db: type_Connection) -> None:
            if run.restored_epoch is not None:
                await db.execute(SQL.hold_of_gap, *_ids_in_gap(run, run.restored_epoch, batch))
            if batch.timeouts:
                await db.execute(SQL.set_timeouts, list(batch.timeouts), list(batch.timeouts.values()))

        if batch.tasks:
            await self._intake.submit(batch.tasks, beside=beside, after=after, plans=plans)
        else:
            async with self._db.transaction() as db:
                await beside(db)
        if batch.signals:
            await self._answers.deliver_early(run.run_id, batch.signals)
        self._notifier.changed(run.run_id)


def _paths(request: list[Any]) -> list[str]:
    name, kind, *rest = request
    if kind in ("open", "skip"):
        return [name]
    positions = rest[0] if kind == "again" else range(rest[0], rest[1])
    return [path_of(name, position) for position in positions]


def _ids_in_gap(run: RunFacts, epoch: int, batch: Batch) -> tuple[list[str], list[str]]:
    """The tasks of a batch, each with an id that it may have had after the backup, which knew this start of the run.

    An undoing has another id in each start.
    """
    pairs = [(task.task_id, task.task_id) for task in batch.tasks]
    for path, _, _, undoes, task_id, *_ in batch.nodes:
        if undoes and task_id is not None:
            pairs += [(task_id, task_id_of(run.run_id, path, epoch + later)) for later in range(STARTS_IN_GAP)]
    return [task_id for task_id, _ in pairs], [in_gap for _, in_gap in pairs]


def _stop_reason(cause: str | None) -> str:
    reasons = {
        "deadline": "The DAG did not end by its deadline",
        "compensation": "The compensation of the DAG did not end by its deadline",
    }
    return reasons.get(cause or "", "The DAG ended before this node")
