"""Tasks in the gateway's care by any of their properties, newest first: lists, and what a bulk operation acts on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import asyncpg
import orjson
from pydantic import BaseModel, ConfigDict, Field

from gateway.access.access import NO_TENANT
from gateway.access.placement import Caller
from gateway.errors import Forbidden
from gateway.moment import Moment
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.queries.dispatch_view import SQL as VIEW_SQL
from gateway.tasks.queries.stats import PARTS
from gateway.tasks.queries.task_log import Position, escape_like

SQL = Queries("gateway.tasks.queries", "task_selection.sql")

State = Literal["waiting", "starting", "queued", "running", "completed", "failed", "stopped"]
StatusWord = Literal["pending", "running", "completed", "failed", "cancelled"]

_STATES_OF: dict[str, tuple[State, ...]] = {
    "pending": ("waiting", "starting", "queued"),
    "running": ("running",),
    "completed": ("completed",),
    "failed": ("failed",),
    "cancelled": ("stopped",),
}
#: What indexes know of a state.
_PHASE_OF = {"starting": "open", "queued": "open", "running": "open"}
#: What their rows of `task_logs` say.
_PARTS_OF = {
    **dict.fromkeys(("waiting", "starting", "queued", "running"), ("open", "odd")),
    "completed": ("completed", "odd"),
    **dict.fromkeys(("failed", "stopped"), ("failed", "stopped", "odd")),
}
_PHASES = ("waiting", "open", "completed", "failed", "stopped")
#: Only tasks in these states have an error.
_WITH_ERROR: frozenset[str] = frozenset(("failed", "stopped"))

Text = Annotated[str, Field(min_length=1, max_length=255)]
Many: Any = Field(default_factory=list, max_length=20)


class Selection(BaseModel):
    """Filters for tasks. A task matches if it has all given properties; of a list, one of its values."""

    model_config = ConfigDict(extra="forbid")

    state: Annotated[list[State], Many] = Field(description="One or more states. Default: all.")
    status: Annotated[list[StatusWord], Many] = Field(
        description="One or more statuses. `pending` means the states `waiting`, `starting` and `queued`; "
        "`cancelled` means `stopped`; the others mean the state of the same name. Default: all."
    )
    type: Annotated[list[Text], Many] = Field(description="One or more task types. Default: all.")
    backend: Annotated[list[Text], Many] = Field(
        description="One or more backends: `redis`, `temporal`. Default: both, and tasks that have none yet."
    )
    stage: Annotated[list[Text], Many] = Field(
        description="One or more migration stages under which the backend was chosen. Default: all."
    )
    priority: Annotated[list[Annotated[int, Field(ge=1, le=5)]], Many] = Field(
        description="One or more priorities, from 1 (first) to 5 (last). Default: all."
    )
    tenant_id: Text | None = None
    project_id: Text | None = None
    group_id: Text | None = None
    user_id: Text | None = None
    entity_id: Text | None = None
    parent_task_id: Text | None = None
    unique_key: Text | None = None
    schedule_id: Text | None = None
    dag_run_id: Text | None = None
    worker_id: Text | None = None
    held: Text | None = Field(
        None,
        description="Only tasks that are held for exactly this reason, for example `quota:running` or "
        "`paused:<pause id>`.",
    )
    error: Text | None = Field(
        None, description="Only failed or stopped tasks whose error contains this text (case-insensitive)."
    )
    created_after: Moment | None = None
    created_before: Moment | None = None
    finished_after: Moment | None = None
    finished_before: Moment | None = None

    def states(self) -> frozenset[str] | None:
        """The states that are asked for; None: any."""
        wanted: frozenset[str] | None = frozenset(self.state) if self.state else None
        if self.status:
            named = frozenset(state for word in self.status for state in _STATES_OF[word])
            wanted = named if wanted is None else wanted & named
        if self.error is not None:
            wanted = _WITH_ERROR if wanted is None else wanted & _WITH_ERROR
        return wanted


@dataclass(frozen=True)
class Wanted:
    """Tasks of the caller's that a selection is for, and of those only some.

    `labels` are those that a task has to have; `within` are the only states that count, None: all; `ids` names tasks.
    """

    caller: Caller
    selection: Selection
    labels: Mapping[str, str]
    within: frozenset[str] | None = None
    ids: Sequence[str] = ()


class TaskSelector:
    """Finds tasks. Every method raises `DatabaseUnavailable`, and `Forbidden` for a tenant that is not the caller's."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def page(self, wanted: Wanted, *, limit: int, after: Position | None = None) -> list[dict[str, Any]]:
        """Rows of the dispatch view, newest first, from a place in the list on."""
        columns = SQL.page.replace("/*columns*/", VIEW_SQL.columns)
        return [dict(row) for row in await self._found(columns, wanted, limit, after)]

    async def positions(self, wanted: Wanted, *, limit: int, after: Position | None = None) -> list[Position]:
        """The same as places in the list, one for each task."""
        return [Position(row["created_at"], row["task_id"]) for row in await self._found(SQL.ids, wanted, limit, after)]

    async def count(self, wanted: Wanted) -> int:
        """How many there are."""
        query = _Query(wanted)
        return 0 if query.is_empty else int(await self._db.fetchval(query.count(), *query.values))

    async def _found(self, text: str, wanted: Wanted, limit: int, after: Position | None) -> list[asyncpg.Record]:
        query = _Query(wanted)
        if query.is_empty:
            return []
        return await self._db.fetch(text.replace("/*found*/", query.found(limit, after)), *query.values)


class _Query:
    """Puts one statement together; `values` are its parameters."""

    def __init__(self, wanted: Wanted) -> None:
        caller, selection, within = wanted.caller, wanted.selection, wanted.within
        self.values: list[Any] = []
        self._tenants: list[str] | None = None if caller.is_admin else sorted(caller.tenant_ids)
        if selection.tenant_id is not None:
            if not caller.sees(selection.tenant_id):
                raise Forbidden(NO_TENANT)
            self._tenants = [selection.tenant_id]
        states = selection.states()
        if within is not None:
            states = within if states is None else states & within
        self._states = None if states is None else sorted(states)
        self._has_own_index = bool(wanted.ids) or _has_own_index(selection)
        #: By what indexes know of the states; None: they are found without it.
        self._phases: list[str] | None = None
        self._is_of_type = len(selection.type) == 1 and self._states is None and not self._has_own_index
        if self._states is not None and self._states != ["running"]:
            self._phases = sorted({_PHASE_OF.get(state, state) for state in self._states})
        elif self._states is None and not self._has_own_index and not self._is_of_type:
            self._phases = list(_PHASES)
        self.is_empty = self._tenants == [] or self._states == []
        self._conditions = [
            self._bind(getattr(SQL, f"where_{name}"), value, kind) for name, value, kind in _asked(selection) if value
        ]
        if wanted.labels:
            self._conditions.append(self._bind(SQL.where_labels, orjson.dumps(wanted.labels).decode(), "jsonb"))
        if wanted.ids:
            self._conditions.append(self._bind(SQL.where_ids, list(wanted.ids), "text[]"))

    def found(self, limit: int, after: Position | None) -> str:
        """Ids and times of the tasks from a place in the list on."""
        conditions, phases = [*self._conditions, *self._of_states()], ""
        if self._phases is not None and self._tenants is not None:
            phases = self._bind(SQL.each_phase, self._phases, "text[]")
            conditions.append(SQL.where_wanted_phase)
        beyond = "true"
        if after is not None:
            block = SQL.where_after_of_all if self._tenants is None else SQL.where_after
            block = self._bind(block, after.created_at, "timestamptz", ":at")
            beyond = self._bind(block, after.task_id, name=":id")
        if self._tenants is None:
            parts = ("true",) if self._has_own_index else [PARTS[name] for name in self._parts()]
            in_order = not self._has_own_index and not self._conditions and self._states != ["running"]
            part_of_all = SQL.part_in_order if in_order else SQL.part_of_all
            text = SQL.of_all.replace(
                "/*parts*/", " UNION ALL ".join(part_of_all.replace("/*part*/", part) for part in parts)
            )
        else:
            block = SQL.of_tenants_and_type if self._is_of_type else SQL.of_tenants
            text = self._bind(block, self._tenants, "text[]", ":tenants")
        text = text.replace("/*phases*/", phases).replace("/*where*/", _all(conditions)).replace("/*beyond*/", beyond)
        return self._bind(text, limit, "bigint", ":limit")

    def count(self) -> str:
        conditions = [*self._conditions, *self._of_states()]
        if self._states is not None and self._phases is not None:
            conditions.append(self._bind(SQL.where_phases, self._phases, "text[]"))
        if self._tenants is None:
            return SQL.count_of_all.replace("/*where*/", _all(conditions))
        text = self._bind(SQL.count_of_tenants, self._tenants, "text[]", ":tenants")
        return text.replace("/*where*/", _all(conditions))

    def _parts(self) -> list[str]:
        """Of `task_logs`, where tasks in these states are: of what a legacy worker just ended its row is the truth."""
        wanted = PARTS if self._states is None else {part for state in self._states for part in _PARTS_OF[state]}
        return [name for name in PARTS if name in wanted]

    def _of_states(self) -> list[str]:
        if self._states is None:
            return []
        running = [SQL.where_running] if self._states == ["running"] else []
        return [self._bind(SQL.where_states, self._states, "text[]"), *running]

    def _bind(self, block: str, value: Any, kind: str = "text", name: str = ":value") -> str:
        self.values.append(value)
        return block.replace(name, f"${len(self.values)}::{kind}")


def _has_own_index(selection: Selection) -> bool:
    """Whether few tasks are found without their phases."""
    few = (selection.entity_id, selection.parent_task_id, selection.schedule_id, selection.dag_run_id)
    return any(value is not None for value in few)


def _asked(selection: Selection) -> list[tuple[str, Any, str]]:
    """Block, value and type of each condition that may be asked for, but for states, tenants and labels."""
    one_type = selection.type[0] if len(selection.type) == 1 else None
    return [
        ("type", one_type, "text"),
        ("types", None if one_type else selection.type, "text[]"),
        ("backends", selection.backend, "text[]"),
        ("stages", selection.stage, "text[]"),
        ("priorities", selection.priority, "smallint[]"),
        ("project", selection.project_id, "text"),
        ("group", selection.group_id, "text"),
        ("user", selection.user_id, "text"),
        ("entity", selection.entity_id, "text"),
        ("parent", selection.parent_task_id, "text"),
        ("unique_key", selection.unique_key, "text"),
        ("schedule", selection.schedule_id, "text"),
        ("dag_run", selection.dag_run_id, "text"),
        ("worker", selection.worker_id, "text"),
        ("held", selection.held, "text"),
        ("error", None if selection.error is None else f"%{escape_like(selection.error)}%", "text"),
        ("created_after", selection.created_after, "timestamptz"),
        ("created_before", selection.created_before, "timestamptz"),
        ("finished_after", selection.finished_after, "timestamptz"),
        ("finished_before", selection.finished_before, "timestamptz"),
    ]


def _all(conditions: Sequence[str]) -> str:
    return " AND ".join(conditions) or "true"
