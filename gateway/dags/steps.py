"""The steps of a run: what its workflow asks for, each one transaction that may be repeated (see `steps.sql`)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import orjson

from gateway.dags.adoption import run_in
from gateway.dags.answers import Answers
from gateway.dags.batch import Batch, RunFacts
from gateway.dags.direct import DirectStarts
from gateway.dags.errors import DagInvalid, DagNotFound, ExpressionFault
from gateway.dags.expressions import holes, render
from gateway.dags.limits import Limits
from gateway.dags.opening import Opener, sources
from gateway.dags.paths import RUNNER, RUNS_CHANNEL, path_of
from gateway.dags.results import Values
from gateway.dags.scope import Scope
from gateway.dags.snapshot import lived_with, make
from gateway.dags.store import DagStore, DagVersion
from gateway.db import Database, type_Connection
from gateway.intake import Intake
from gateway.sql import Queries
from gateway.status.transitions import DUE_CHANNEL, STOP_CHANNEL, ChangeNotifier

SQL = Queries("gateway.dags", "steps.sql")

#: Of a node that is added, beside its run.
NODE_COLUMNS = 12
#: Definitions that a process remembers; they never change.
_REMEMBERED = 64


class RunOver(Exception):
    """This start of the run no longer counts: it was stopped, or started again."""


class DagSteps:
    """Carries out what workflows decide. Every method raises `DatabaseUnavailable` and `RunOver`."""

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
        self._versions: OrderedDict[tuple[str, str, int], DagVersion] = OrderedDict()

    async def begin(self, run_id: str, epoch: int) -> dict[str, Any]:
        """The run as it stands, at the beginning of its workflow or when that goes on under a new history."""
        if await self._db.fetchrow(SQL.hold_run, run_id, epoch) is None:
            await self._adopt(run_id, epoch)
        row = await self._held(self._db, run_id, epoch)
        dag = await self._version(row["owner"], row["name"], row["version"])
        async with self._db.transaction() as db:
            row = await self._held(db, run_id, epoch)
            deadline = row["deadline_at"]
            await db.execute(SQL.begin_run, run_id, RUNNER)
            if row["run_epoch"] < epoch:
                deadline = await db.fetchval(SQL.take_over, run_id, epoch, dag.definition.deadline_seconds)
                await db.execute(SQL.want_again, run_id, lived_with(dag.definition))
            nodes = await db.fetch(SQL.nodes, run_id)
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
        run, standing = await asyncio.gather(self._facts(run_id, epoch), self._standing(run_id, paths))
        nodes = run.dag.definition.nodes
        items = {name: await self._items(run_id, name) for name, kind, *_ in requests if kind in ("items", "again")}
        wanted = [source for name, kind, *_ in requests for source in sources(nodes[name], whole=kind == "open")]
        opener = await self._opener(run, paths, standing, wanted)
        answers: list[list[Any]] = []
        for name, kind, *rest in requests:
            if kind == "open":
                answers.append(opener.open(name))
            elif kind == "skip":
                answers.append(opener.skip(name))
            else:
                positions = rest[0] if kind == "again" else range(rest[0], rest[1])
                answers.append(opener.open_items(name, list(positions), items[name]))
        await self._write(run, opener.batch, percent)
        return answers

    async def undo(self, run_id: str, epoch: int, name: str) -> list[int | None]:
        """Begin to undo a node: the positions of the tasks that do (None: it is no fan-out)."""
        run = await self._facts(run_id, epoch)
        rows = [row for row in await self._db.fetch(SQL.nodes, run_id) if row["node"] == name and not row["undoes"]]
        done = [row["position"] for row in rows if row["state"] == "completed" and row["verdict"] is None]
        compensation = run.dag.definition.nodes[name].compensate
        assert compensation is not None
        items = await self._items(run_id, name) if any(position is not None for position in done) else []
        wanted = _expressions(compensation.input)
        paths = [path_of(name, position, undoes=True) for position in done]
        opener = await self._opener(run, paths, await self._standing(run_id, paths), wanted)
        undoing = [p for p in done if opener.undo(name, p, None if p is None else items[p])]
        await self._write(run, opener.batch, None)
        return undoing

    async def finish(
        self, run_id: str, epoch: int, outcome: str, error: str | None, cause: str | None = None
    ) -> dict[str, Any]:
        """End the run: its outputs become the result of its task; what is still open is stopped."""
        run = await self._facts(run_id, epoch)
        result = None
        if outcome == "completed":
            try:
                result = await self._outputs(run)
            except ExpressionFault as fault:
                outcome, error = "failed", f"outputs: {fault}"
        if outcome == "failed" and error is None:
            error = await self._failure(run)
        async with self._db.transaction() as db:
            await self._held(db, run_id, epoch)
            await db.execute(SQL.finish_run, run_id, outcome, error, result)
            stopped = await db.fetch(SQL.stop_nodes, run_id, _stop_reason(cause), STOP_CHANNEL)
        for task_id in (run_id, *(row["task_id"] for row in stopped)):
            self._notifier.changed(task_id)
        return {"outcome": outcome, "error": error}

    # Reading ------------------------------------------------------------------------------------------------

    async def _held(self, db: Database | type_Connection, run_id: str, epoch: int) -> Any:
        row = await db.fetchrow(SQL.hold_run, run_id, epoch)
        if row is None:
            raise RunOver
        return row

    async def _facts(self, run_id: str, epoch: int) -> RunFacts:
        row = await self._db.fetchrow(SQL.facts, run_id, epoch)
        if row is None:
            raise RunOver
        dag = await self._version(row["owner"], row["name"], row["version"])
        return RunFacts(
            run_id,
            epoch,
            row["tenant_id"],
            row["project_id"],
            row["user_id"],
            row["group_id"],
            row["priority"],
            row["depth"],
            orjson.loads(row["params"]),
            row["created_at"],
            dag,
            row["plan"],
            row["stage"],
            row["weight"],
            row["held_back"],
        )

    async def _version(self, owner: str, name: str, number: int) -> DagVersion:
        key = (owner, name, number)
        known = self._versions.get(key)
        if known is None:
            known = self._versions[key] = await self._store.version(*key)
            if len(self._versions) > _REMEMBERED:
                self._versions.popitem(last=False)
        return known

    async def _items(self, run_id: str, name: str) -> list[Any]:
        text = await self._db.fetchval(
            "SELECT items::text FROM taskgate.dag_node WHERE run_id = $1 AND path = $2", run_id, name
        )
        items: list[Any] = orjson.loads(text or "[]")
        return items

    async def _standing(self, run_id: str, paths: list[str]) -> dict[str, dict[str, Any]]:
        return {row["path"]: dict(row) for row in await self._db.fetch(SQL.standing, run_id, paths)}

    async def _opener(
        self, run: RunFacts, paths: list[str], standing: dict[str, dict[str, Any]], wanted: Iterable[str]
    ) -> Opener:
        subs = {
            node: await self._version(*pinned)
            for node, pinned in run.dag.plan["subs"].items()
            if any(path.partition("[")[0] == node for path in paths)
        }
        return Opener(run, await self._values(run, wanted), standing, self._limits, subs)

    async def _values(self, run: RunFacts, wanted: Iterable[str]) -> Values:
        scope = Scope.of(run.dag.definition, self._limits.expression_length)
        values = Values(scope, run.run_id, run.started_at.isoformat(), run.params, self._limits)
        await values.load(self._db, wanted)
        return values

    async def _outputs(self, run: RunFacts) -> str:
        """Raises `ExpressionFault`."""
        outputs = run.dag.definition.outputs
        values = await self._values(run, _expressions(outputs))
        text = orjson.dumps(render(outputs, values.value)).decode()
        if len(text) > self._limits.data_bytes:
            raise ExpressionFault(f"they have {len(text)} bytes, more than {self._limits.data_bytes}")
        if "\\u0000" in text:
            raise ExpressionFault("NUL characters cannot be stored")
        return text

    async def _failure(self, run: RunFacts) -> str:
        rows = await self._db.fetch(SQL.failures, run.run_id, lived_with(run.dag.definition))
        if not rows:
            return "The DAG failed"
        first = f"Node {rows[0]['path']} failed: {rows[0]['error'] or 'it was stopped'}"
        more = ", ".join(row["path"] for row in rows[1:])
        return f"{first} (also failed: {more})" if more else first

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
        """Everything of a batch, or nothing. Raises `RunOver`."""

        columns = [list(column) for column in zip(*batch.nodes, strict=True)] or [[]] * NODE_COLUMNS
        launches = self._direct.plan(run, batch.tasks)
        is_due = bool(batch.again) or (bool(batch.tasks) and launches is None)

        async def beside(db: type_Connection) -> None:
            added = await db.fetchrow(SQL.add_nodes, run.run_id, run.epoch, percent, *columns, is_due, DUE_CHANNEL)
            if added is None:
                raise RunOver
            for child in batch.runs:
                await db.execute(SQL.add_run, *child.row_in(run))
            if batch.again:
                await db.fetch(SQL.reopen, run.run_id, batch.again)

        async def after(db: type_Connection) -> None:
            if batch.timeouts:
                await db.execute(SQL.set_timeouts, list(batch.timeouts), list(batch.timeouts.values()))

        if batch.tasks:
            await self._intake.submit(batch.tasks, beside=beside, after=after, launches=launches)
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


def _expressions(value: Any) -> list[str]:
    found: list[str] = []
    rest = [value]
    while rest:
        one = rest.pop()
        if isinstance(one, str):
            found += holes(one)
        elif isinstance(one, dict):
            rest.extend(one.values())
        elif isinstance(one, list):
            rest.extend(one)
    return found


def _stop_reason(cause: str | None) -> str:
    return "The DAG did not end by its deadline" if cause == "deadline" else "The DAG ended before this node"
