"""The values that expressions of a run can use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.dags.errors import ExpressionFault
from gateway.dags.expressions import evaluate, nodes_in, params_in
from gateway.dags.limits import Limits
from gateway.dags.scope import Scope
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.dags", "results.sql")

_STATUS = {"completed": "completed", "failed": "failed", "stopped": "failed"}


class Values:
    """The variables of one run, read once for several expressions."""

    def __init__(self, scope: Scope, run_id: str, started_at: str, params: Mapping[str, Any], limits: Limits) -> None:
        self._scope = scope
        self._run_id = run_id
        self._limits = limits
        self._data: dict[str, Any] = {"run.id": run_id, "run.started_at": started_at}
        self._data |= {f"params.{name}": value for name, value in params.items()}
        self._bytes: dict[str, int] = {}

    async def load(self, database: Database, sources: Iterable[str]) -> None:
        """Read what these expressions use. Raises `DatabaseUnavailable`."""
        wanted = {name for source in sources for name in nodes_in(source)} - self._bytes.keys()
        if not wanted:
            return
        rows = await database.fetch(SQL.ends, self._run_id, sorted(wanted), self._limits.data_bytes)
        by_node: dict[str, list[Any]] = {name: [] for name in wanted}
        for row in rows:
            by_node[row["node"]].append(row)
        for name, found in by_node.items():
            self._bytes[name] = sum(row["bytes"] or 0 for row in found)
            self._data |= self._node(name, found)

    def value(self, source: str, *, item: Any = None, index: int | None = None) -> Any:
        """The value of an expression. Raises `ExpressionFault`."""
        compiled = self._scope.compile(source, with_item=index is not None)
        used = nodes_in(source)
        size = sum(self._bytes.get(name, 0) for name in used)
        if size > self._limits.data_bytes and any(self._reads_result(source, name) for name in used):
            largest = max(used, key=lambda name: self._bytes.get(name, 0))
            raise ExpressionFault(
                f"the results it reads have {size} bytes, more than {self._limits.data_bytes} (most of them of node "
                f"{largest!r}): hand on `nodes.{largest}.ref`, and let the handler read the result itself",
                code="data_too_large",
            )
        names = {f"params.{name}" for name in params_in(source)} | {"run.id", "run.started_at"}
        names |= {key for name in used for key in self._data if key.startswith(f"nodes.{name}.")}
        data = {name: self._data[name] for name in names if name in self._data}
        if index is not None:
            data |= {"item": item, "index": index}
        return evaluate(compiled, data)

    def _reads_result(self, source: str, name: str) -> bool:
        return f"nodes.{name}.result" in source.replace(" ", "")

    def _node(self, name: str, rows: list[Any]) -> dict[str, Any]:
        parent = next((row for row in rows if row["position"] is None), None)
        items = [row for row in rows if row["position"] is not None]
        ref = {"run_id": self._run_id, "node": name, "task_id": parent and parent["task_id"]}
        ref["url"] = f"/gateway/v1/dag-runs/{self._run_id}/nodes/{name}/result"
        common = {
            f"nodes.{name}.status": _status(parent, items),
            f"nodes.{name}.error": _error(parent, items),
            f"nodes.{name}.ref": ref,
        }
        if self._scope.nodes.get(name):
            failed = sum(_item_status(row) == "failed" for row in items)
            results = [_result(row) for row in items]
            return {**common, f"nodes.{name}.results": results, f"nodes.{name}.failed": failed}
        return {**common, f"nodes.{name}.result": None if parent is None else _result(parent)}


def _result(row: Any) -> Any:
    """What a task returned counts only without a verdict: with one, it is of a run before, and may be undone."""
    if row["result"] is None or row["verdict"] is not None or row["state"] != "completed":
        return None
    try:
        return _fitting(json.loads(row["result"]))
    except (ValueError, RecursionError):
        return None


def _fitting(value: Any) -> Any:
    """Integers beyond 64 bits, which the expression language does not have, as floating-point numbers."""
    if isinstance(value, dict):
        return {str(key): _fitting(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_fitting(member) for member in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return float(value)
    return value


def _status(parent: Any, items: list[Any]) -> str:
    if parent is None:
        return "pending"
    if parent["verdict"] in ("skipped", "bypassed"):
        return "skipped"
    if parent["verdict"] == "refused":
        return "failed"
    if parent["verdict"] == "expanded":
        states = {_item_status(row) for row in items}
        return next((state for state in ("running", "failed") if state in states), "completed")
    return _STATUS.get(parent["state"], "running")


def _item_status(row: Any) -> str:
    """Of an item of a fan-out: one that is skipped counts as done."""
    if row["verdict"] is not None:
        return "completed" if row["verdict"] == "bypassed" else "failed"
    return _STATUS.get(row["state"], "running")


def _error(parent: Any, items: list[Any]) -> str | None:
    if parent is None:
        return None
    if parent["verdict"] != "expanded":
        return _error_of(parent)
    errors = (_error_of(row) for row in items if row["verdict"] != "bypassed")
    return next((error for error in errors if error), None)


def _error_of(row: Any) -> str | None:
    """What went wrong in a task that is not to run again says nothing about its refusal."""
    error: str | None = row["reason"] if row["verdict"] == "refused" else row["error_message"] or row["reason"]
    return error
