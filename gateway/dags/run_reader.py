"""Reads for a step of a run: the run itself, its nodes, and the values that expressions use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from gateway.dags.batch import RunFacts
from gateway.dags.definition import DagDefinition
from gateway.dags.errors import ExpressionFault
from gateway.dags.expressions import holes, render
from gateway.dags.limits import Limits
from gateway.dags.node_start import Opener
from gateway.dags.paths import path_of
from gateway.dags.results import Values
from gateway.dags.scope import Scope
from gateway.dags.snapshot import nodes_that_may_fail
from gateway.dags.store import DagStore, DagVersion
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.dags", "steps.sql")

#: Nodes that an error names.
MOST_SHOWN = 20
#: Definitions that a process remembers; they never change.
_REMEMBERED = 64


class RunOver(Exception):
    """This start of the run no longer counts: it was stopped, or started again."""


class StepOutdated(Exception):
    """A node was decided while the step that decides it was carried out; the next try of the step finds that."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The result of a run that is over, before its expressions are evaluated."""

    outputs: Mapping[str, Any]
    values: Values
    longest: int
    """Bytes of the result."""

    def text(self) -> str:
        """As JSON. Raises `ExpressionFault`."""
        text = orjson.dumps(render(dict(self.outputs), self.values.value)).decode()
        if len(text) > self.longest:
            raise ExpressionFault(f"they have {len(text)} bytes, more than {self.longest}")
        if "\\u0000" in text:
            raise ExpressionFault("NUL characters cannot be stored")
        return text


class RunReader:
    """Reads without locks; the transaction that follows has the fence. Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database, store: DagStore, limits: Limits) -> None:
        self._db = database
        self._store = store
        self._limits = limits
        self._versions: OrderedDict[tuple[str, str, int], DagVersion] = OrderedDict()

    async def facts(self, run_id: str, epoch: int) -> RunFacts:
        """The run, as its nodes need to know it. Raises `RunOver`."""
        row = await self._db.fetchrow(SQL.facts, run_id, epoch)
        if row is None:
            raise RunOver
        dag = await self.version(row["owner"], row["name"], row["version"])
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
            row["entry_id"],
            row["weight"],
            row["held_back"],
            orjson.loads(row["trace"]) if row["trace"] else {},
            row["restored_epoch"],
        )

    async def version(self, owner: str, name: str, number: int) -> DagVersion:
        """The definition; it is remembered."""
        key = (owner, name, number)
        known = self._versions.get(key)
        if known is None:
            known = self._versions[key] = await self._store.version(*key)
            if len(self._versions) > _REMEMBERED:
                self._versions.popitem(last=False)
        return known

    async def items(self, run_id: str, name: str) -> list[Any]:
        """What the fan-out runs over."""
        text = await self._db.fetchval(
            "SELECT items::text FROM taskgate.dag_node WHERE run_id = $1 AND path = $2", run_id, name
        )
        items: list[Any] = orjson.loads(text or "[]")
        return items

    async def nodes_at(self, run_id: str, paths: list[str]) -> dict[str, dict[str, Any]]:
        """Those of these nodes that were decided already, and how."""
        return {row["path"]: dict(row) for row in await self._db.fetch(SQL.nodes_at, run_id, paths)}

    async def opener(
        self, run: RunFacts, paths: list[str], known_nodes: dict[str, dict[str, Any]], wanted: Iterable[str]
    ) -> Opener:
        """For these nodes, with the values of the `wanted` expressions."""
        subs = {
            node: await self.version(*pinned)
            for node, pinned in run.dag.plan["subs"].items()
            if any(path.partition("[")[0] == node for path in paths)
        }
        return Opener(run, await self._values(run, wanted), known_nodes, self._limits, subs)

    async def _values(self, run: RunFacts, wanted: Iterable[str]) -> Values:
        scope = Scope.of(run.dag.definition, self._limits.expression_length)
        values = Values(scope, run.run_id, run.started_at.isoformat(), run.params, self._limits)
        await values.load(self._db, wanted)
        return values

    async def outputs(self, run: RunFacts) -> Outputs:
        """What the run's result is made of."""
        outputs = run.dag.definition.outputs
        return Outputs(outputs, await self._values(run, expressions(outputs)), self._limits.data_bytes)

    async def failure(self, run: RunFacts, *, is_cut_short: bool) -> str:
        """The error message of the run, with the nodes that should have been undone but were not.

        `is_cut_short`: the deadline of the compensation came first.
        """
        text = await self._cause(run)
        nodes = await self._db.fetch(SQL.nodes, run.run_id)
        if not is_cut_short and not any(row["undoes"] for row in nodes):
            return text
        left = not_undone(run.dag.definition, nodes)
        if not left:
            return text
        shown = ", ".join(left[:MOST_SHOWN]) + (f" and {len(left) - MOST_SHOWN} more" if len(left) > MOST_SHOWN else "")
        return f"{text}; {'not undone by the deadline' if is_cut_short else 'not undone'}: {shown}"

    async def _cause(self, run: RunFacts) -> str:
        rows = await self._db.fetch(SQL.failures, run.run_id, nodes_that_may_fail(run.dag.definition))
        if not rows:
            return "The DAG failed"
        first = f"Node {rows[0]['path']} failed: {rows[0]['error'] or 'it was stopped'}"
        more = ", ".join(row["path"] for row in rows[1:])
        return f"{first} (also failed: {more})" if more else first


def has_ended_well(row: asyncpg.Record) -> bool:
    """Whether a node's task is completed in this start. One with a verdict, or that is to run again, was so before."""
    return row["state"] == "completed" and row["verdict"] is None and not row["again"]


def not_undone(definition: DagDefinition, rows: Iterable[asyncpg.Record]) -> list[str]:
    """The paths of completed nodes that have a compensation, and whose compensation did not complete."""
    undone, done = set(), []
    for row in rows:
        key = (row["node"], row["position"])
        if has_ended_well(row):
            undone.add(key) if row["undoes"] else done.append(key)
    return [path_of(*key) for key in done if definition.nodes[key[0]].compensate is not None and key not in undone]


def expressions(value: Any) -> list[str]:
    """All of them in a value of a definition, at any depth."""
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
