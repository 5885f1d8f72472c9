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
    """Addresses for a browser; null: there is nothing, or the setting that says where is not set."""

    task_id: str
    trace: str | None = Field(description="Its trace, by `TASKGATE_TRACE_URL`")
    temporal: str | None = Field(description="Its last start in Temporal's UI, by `TASKGATE_TEMPORAL_UI_URL`")


@router.get("/{task_id}/links", response_model=TaskLinks, responses=problem_errors(404))
async def get_task_links(request: Request, task_id: str) -> Response:
    """A task in the tracing system, and in Temporal's UI."""
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
