"""The state of a run as one document: everything that an editor or a live view needs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import orjson
from pydantic import BaseModel, Field

from gateway.access.placement import Caller
from gateway.dags.definition import DagDefinition, Node
from gateway.dags.paths import RUN_TYPE
from gateway.dags.runs import SQL, DagRuns
from gateway.dags.store import DagStore, DagVersion
from gateway.storage.database import Database
from gateway.tasks.payload import JsonValue

Status = Literal["pending", "waiting", "queued", "running", "completed", "failed", "cancelled", "skipped"]

#: Of cursors.
LIST = "dag runs"
#: Nodes and items of one document.
MOST_NODES = 20_000

_STATUS: dict[str, Status] = {
    "waiting": "queued",
    "starting": "queued",
    "queued": "queued",
    "running": "running",
    "completed": "completed",
    "failed": "failed",
    "stopped": "cancelled",
}

#: In which states of their tasks runs are found that have one of these statuses.
STATES_OF = {
    "pending": ["waiting", "starting", "queued"],
    "running": ["running"],
    "completed": ["completed"],
    "failed": ["failed"],
    "cancelled": ["stopped"],
}


class Edge(BaseModel):
    """A dependency between two nodes: `target` waits for `source`."""

    source: str
    target: str


class ItemCounts(BaseModel):
    """Number of items of a fan-out, by state."""

    total: int
    opened: int = Field(description="Items whose task was created.")
    running: int
    completed: int
    failed: int


class NodeState(BaseModel):
    """One node of a run, or one item of a fan-out. A time is null until it has come."""

    path: str = Field(description="Path in the run, such as `fetch`, or `fetch[3]` for an item.")
    node: str = Field(description="Name of the node in the definition.")
    position: int | None = Field(description="Position of an item in its fan-out. Null for other nodes.")
    kind: Literal["task", "dag", "approval", "signal"]
    type: str | None = Field(description="Task type, or name of the inner DAG.")
    status: Status
    waits_for: str | None = Field(
        description="Why the node is held: an approval, a signal, a quota or a pause. Null: it is not held."
    )
    decided_by: str | None = Field(
        description="Who decided that the node was skipped (`condition`, `upstream`, `user:…`) or refused (`gateway`)."
    )
    reason: str | None
    condition: bool | None = Field(description="Value of the node's `when`.")
    task_id: str | None
    run_id: str | None = Field(description="Run of the inner DAG. Null if the node is not a DAG.")
    undoes: bool = Field(description="Whether this task undoes a completed node (compensation).")
    attempt: int
    failures: int
    max_attempts: int | None
    priority: int | None
    progress: int = Field(description="Progress in percent.")
    message: str | None
    error: str | None
    answer: JsonValue = Field(description="Answer to an approval: who gave it, and what it was.")
    result_bytes: int | None = Field(description="Size of the result in bytes.")
    items: ItemCounts | None = Field(description="Counts of the items of a fan-out. Null for other nodes.")
    created_at: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="When an approval or a signal is no longer waited for.")
    worker_id: str | None


class RunSummary(BaseModel):
    """A DAG run, without its nodes."""

    run_id: str
    dag: str
    version: int
    built_in: bool
    status: Status
    progress: int = Field(description="Progress in percent.")
    error: str | None
    tenant_id: str | None
    project_id: str | None
    parent_run_id: str | None = Field(description="Run of which this one is a node. Null if it is no node.")
    created_by: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    run_url: str


class RunDocument(RunSummary):
    """A DAG run with all its nodes and edges."""

    params: dict[str, Any]
    priority: int
    labels: dict[str, str]
    starts: int = Field(description="Number of times the run was started: 1, and one more for each retry.")
    deadline: datetime | None
    parent_path: str | None = Field(description="Path of the node that this run is in its parent run.")
    result: JsonValue = Field(description="Outputs of the run, once it has completed.")
    edges: list[Edge]
    nodes: list[NodeState]
    is_cut: bool = Field(description="Whether nodes or items were left out because there are more than 20,000.")


def summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """`RunSummary` of a row."""
    state = row["state"]
    status: Status = "pending" if state in ("waiting", "starting", "queued") else _STATUS[state]
    return {
        "run_id": row["run_id"],
        "dag": row["name"],
        "version": row["version"],
        "built_in": row["owner"] == "",
        "status": status,
        "progress": row["progress"] or 0,
        "error": row["error_message"],
        "tenant_id": row["tenant_id"],
        "project_id": row["project_id"],
        "parent_run_id": row["parent_run"],
        "created_by": row["created_by"],
        "created_at": row["created_at"],
        "started_at": row["claimed_at"],
        "finished_at": row["finished_at"] if status in ("completed", "failed", "cancelled") else None,
        "run_url": f"/gateway/v1/dag-runs/{row['run_id']}",
    }


class RunDocuments:
    """Every method raises `DatabaseUnavailable` and `DagRunNotFound`."""

    def __init__(self, database: Database, runs: DagRuns, store: DagStore) -> None:
        self._db = database
        self._runs = runs
        self._store = store

    async def get(self, run_id: str, caller: Caller, *, items: bool = True) -> dict[str, Any]:
        """`RunDocument`; without `items` a fan-out is one node with counts."""
        row = await self._runs.row(run_id, caller)
        dag = await self._store.version(row["owner"], row["name"], row["version"])
        nodes = await self.nodes(run_id, dag, items=items)
        return {
            **summary(row),
            "params": orjson.loads(row["params"]),
            "priority": row["priority"],
            "labels": orjson.loads(row["labels"] or "{}"),
            "starts": row["epoch"],
            "deadline": row["deadline_at"],
            "parent_path": row["parent_path"],
            "result": orjson.loads(row["result"]) if row["result"] and row["state"] == "completed" else None,
            "edges": [
                {"source": needed, "target": name} for name, needs in dag.plan["needs"].items() for needed in needs
            ],
            "nodes": nodes,
            "is_cut": len(nodes) >= MOST_NODES,
        }

    async def version_of(self, row: Mapping[str, Any]) -> DagVersion:
        """The definition that a run was started with."""
        return await self._store.version(row["owner"], row["name"], row["version"])

    async def nodes(
        self, run_id: str, dag: DagVersion, *, paths: list[str] | None = None, items: bool = True
    ) -> list[dict[str, Any]]:
        """`NodeState` of every node, those that were not reached among them; or of these paths."""
        rows = await self._db.fetch(SQL.nodes, run_id, paths, items, MOST_NODES)
        counts = {row["node"]: dict(row) for row in await self._db.fetch(SQL.fans, run_id)}
        found = [_node(dag.definition.nodes[row["node"]], dict(row), counts.get(row["node"])) for row in rows]
        if paths is None:
            reached = {row["path"] for row in rows}
            found += [_unreached(dag.definition, name) for name in dag.definition.nodes if name not in reached]
        return found


def _kind(node: Node) -> Literal["task", "dag", "approval", "signal"]:
    if node.dag is not None:
        return "dag"
    if node.approval is not None:
        return "approval"
    return "signal" if node.signal is not None else "task"


def _unreached(definition: DagDefinition, name: str) -> dict[str, Any]:
    node = definition.nodes[name]
    empty = dict.fromkeys(NodeState.model_fields)
    return {
        **empty,
        "path": name,
        "node": name,
        "kind": _kind(node),
        "type": node.type or node.dag,
        "status": "pending",
        "undoes": False,
        "attempt": 0,
        "failures": 0,
        "progress": 0,
    }


def _node(node: Node, row: dict[str, Any], counts: Mapping[str, Any] | None) -> dict[str, Any]:
    status = _status(row, counts)
    items = None
    if row["verdict"] == "expanded":
        zero = {"opened": 0, "running": 0, "completed": 0, "failed": 0}
        items = {**zero, **({name: counts[name] for name in zero} if counts else {}), "total": row["items"]}
    return {
        "path": row["path"],
        "node": row["node"],
        "position": row["position"],
        "kind": "task" if row["undoes"] else _kind(node),
        "type": row["task_type"] if row["undoes"] else node.type or node.dag,
        "status": status,
        "waits_for": row["held"],
        "decided_by": row["decided_by"] if row["verdict"] != "expanded" else None,
        "reason": row["reason"],
        "condition": row["condition"],
        "task_id": row["task_id"],
        "run_id": row["task_id"] if row["task_type"] == RUN_TYPE else None,
        "undoes": row["undoes"],
        "attempt": row["attempt"] or 0,
        "failures": row["failures"] or 0,
        "max_attempts": row["max_attempts"],
        "priority": row["priority"],
        "progress": 100 if status == "completed" else row["progress"] or 0,
        "message": row["message"],
        "error": row["reason"] if row["verdict"] == "refused" else row["error_message"],
        "answer": orjson.loads(row["answer"]) if row["answer"] else None,
        "result_bytes": row["result_bytes"],
        "items": items,
        "created_at": row["created_at"] or row["decided_at"],
        "queued_at": row["queued_at"],
        "started_at": row["claimed_at"],
        "finished_at": row["finished_at"] if status in ("completed", "failed", "cancelled", "skipped") else None,
        "expires_at": row["expires_at"],
        "worker_id": row["worker_id"],
    }


def _status(row: Mapping[str, Any], counts: Mapping[str, Any] | None) -> Status:
    if row["verdict"] in ("skipped", "bypassed"):
        return "skipped"
    if row["verdict"] == "refused":
        return "failed"
    if row["verdict"] == "expanded":
        if row["items"] == 0:
            return "completed"
        if counts is None or counts["completed"] + counts["failed"] < row["items"]:
            return "running"
        return "failed" if counts["failed"] else "completed"
    if row["again"]:
        return "pending"
    if row["held"] is not None:
        return "waiting"
    return _STATUS[row["state"]]
