"""`GET /gateway/v1/tasks/{task_id}/links`: where else people may look at a task."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.tasks.queries.links import links_of

router = APIRouter(prefix="/gateway/v1/tasks", tags=["tasks"], route_class=KeyedRoute)


class TaskLinks(BaseModel):
    """Links to pages about a task in other tools. A link is null if there is no such page, or if the gateway is not
    configured for the tool."""

    task_id: str
    trace: str | None = Field(description="The task's trace. Needs `TASKGATE_TRACE_URL`.")
    temporal: str | None = Field(
        description="The last start of the task in Temporal's UI. Needs `TASKGATE_TEMPORAL_UI_URL`; null if the "
        "task is not on Temporal."
    )


@router.get("/{task_id}/links", response_model=TaskLinks, responses=problem_errors(404))
async def get_task_links(request: Request, task_id: str) -> Response:
    """Return links to a task in the tracing system and in Temporal's UI."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    await gateway.task_log.get(task_id, caller)
    links = await links_of(
        gateway.database,
        task_id,
        trace_url=gateway.settings.trace_url,
        temporal_ui_url=gateway.settings.temporal_ui_url,
        namespace=gateway.settings.temporal_namespace,
        are_workflows=gateway.settings.temporal_standalone_activities is False,
    )
    return json_answer({"task_id": task_id, **links})
