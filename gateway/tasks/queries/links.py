"""Where else people may look at a task: its trace, and its start in Temporal's UI."""

from __future__ import annotations

from urllib.parse import quote

import orjson

from backends.port import WorkflowRef
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.run_type import RUN_TYPE

SQL = Queries("gateway.tasks.queries", "dispatch_view.sql")


async def links_of(
    database: Database,
    task_id: str,
    *,
    trace_url: str | None,
    temporal_ui_url: str | None,
    namespace: str,
    are_workflows: bool,
) -> dict[str, str | None]:
    """`trace` and `temporal`; None where there is nothing, or no address. Raises `DatabaseUnavailable`.

    `are_workflows`: tasks run in workflows of one activity, not as standalone activities.
    """
    row = await database.fetchrow(SQL.places, task_id)
    if row is None:
        return {"trace": None, "temporal": None}
    context = orjson.loads(row["trace"]) if row["trace"] else {}
    trace_id = str(context.get("traceparent", "")).split("-")[1:2]
    trace = trace_url.replace("{trace_id}", trace_id[0]) if trace_url and trace_id else None
    temporal = None
    if temporal_ui_url and row["backend"] == "temporal" and row["epoch"] > 0:
        start = WorkflowRef(task_id, row["epoch"], row["group_id"], row["task_type"]).workflow_id
        temporal = temporal_page(
            temporal_ui_url, namespace, start, is_workflow=are_workflows or row["task_type"] == RUN_TYPE
        )
    return {"trace": trace, "temporal": temporal}


def temporal_page(ui: str, namespace: str, start: str, *, is_workflow: bool) -> str:
    """The list with this start alone: the page of an execution has its run id in the address, which we do not keep."""
    place, name = ("workflows", "WorkflowId") if is_workflow else ("activities", "ActivityId")
    query = quote(f'{name}="{start}"', safe="")
    return f"{ui.rstrip('/')}/namespaces/{quote(namespace, safe='')}/{place}?query={query}"
