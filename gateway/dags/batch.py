"""The facts about a run for its nodes, and the writes of one step of its workflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import orjson

from gateway.access.placement import Placement
from gateway.dags.store import DagVersion
from gateway.submission.new_task import NewTask, stored_payload


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run, as its nodes need to know it."""

    run_id: str
    epoch: int
    tenant_id: str | None
    project_id: str | None
    user_id: str | None
    group_id: str
    priority: int
    depth: int
    params: Mapping[str, Any]
    started_at: datetime
    dag: DagVersion
    plan: str | None = None
    """Of the tenant."""
    stage: str | None = None
    """Of the tenant, when the run was started."""
    entry_id: int | None = None
    """The entry of the ledger behind it."""
    weight: float = 1.0
    """The tenant's weight."""
    held_back: bool = False
    """Tasks may be paused, or those of the tenant counted, before they start."""
    trace: Mapping[str, str] = field(default_factory=dict)
    """The context of its trace; empty: it has none."""
    restored_epoch: int | None = None
    """It comes from a backup, in which this was its start: engines may know nodes of it that it does not."""

    @property
    def placement(self) -> Placement:
        return Placement(self.tenant_id, self.project_id, self.plan)


@dataclass(frozen=True, slots=True)
class ChildRun:
    """A run of a DAG inside another."""

    run_id: str
    owner: str
    name: str
    version: int
    params: dict[str, Any]
    path: str
    priority: int

    def row_in(self, parent: RunFacts) -> tuple[Any, ...]:
        """The values that `steps.sql` writes."""
        return (
            self.run_id,
            self.owner,
            self.name,
            self.version,
            parent.tenant_id,
            parent.project_id,
            orjson.dumps(self.params).decode(),
            self.priority,
            parent.run_id,
            self.path,
            parent.depth + 1,
            parent.user_id,
        )


@dataclass(frozen=True, slots=True)
class Again:
    """A node of an earlier start of the run, whose task is to run anew.

    `held`: what the task waits for, if it is no handler's, and how long (`seconds`). `task` has the input that follows
    from the results there are now; None: it is no handler's. `params`: those of an inner run.
    """

    path: str
    held: str | None
    seconds: float | None
    task: NewTask | None = None
    params: Mapping[str, Any] | None = None

    def columns(self) -> tuple[Any, ...]:
        """The values that `steps.sql` writes."""
        payload = None if self.task is None else stored_payload(self.task)
        params = None if self.params is None else orjson.dumps(self.params).decode()
        return self.path, self.held, self.seconds, payload, params


@dataclass
class Batch:
    """The writes of one step of the workflow."""

    nodes: list[tuple[Any, ...]] = field(default_factory=list)
    tasks: list[NewTask] = field(default_factory=list)
    runs: list[ChildRun] = field(default_factory=list)
    timeouts: dict[str, float] = field(default_factory=dict)
    again: list[Again] = field(default_factory=list)
    not_again: list[tuple[str, str]] = field(default_factory=list)
    """Nodes of an earlier start whose input cannot be computed now: path, and why."""
    signals: list[str] = field(default_factory=list)
    """Nodes that wait for a signal, which may have come already."""

    def extend(self, other: Batch) -> None:
        """Write what the other one does, too."""
        for one in fields(self):
            mine, more = getattr(self, one.name), getattr(other, one.name)
            mine.update(more) if isinstance(mine, dict) else mine.extend(more)

    def decide(self, path: str, node: str, verdict: str, *, by: str, **more: Any) -> None:
        """A node without a task."""
        self.add(path, node, verdict=verdict, decided_by=by, told=True, **more)

    def add(self, path: str, node: str, **columns: Any) -> None:
        self.nodes.append(
            (
                path,
                node,
                columns.get("position"),
                columns.get("undoes", False),
                columns.get("task_id"),
                columns.get("verdict"),
                columns.get("reason"),
                columns.get("decided_by"),
                columns.get("condition"),
                columns.get("items"),
                columns.get("signal_name"),
                columns.get("told", False),
            )
        )
