"""`/gateway/v1/tasks/{id}/run-at`: another time for a task that waits for its time."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.submission.requests import RunAt
from gateway.tasks.lifecycle.run_time import set_run_time

router = APIRouter(prefix="/gateway/v1/tasks", tags=["tasks"], route_class=KeyedRoute)


class Retimed(BaseModel):
    """The new time of a task."""

    task_id: str
    status: Literal["pending"]
    run_at: datetime = Field(description="When the task becomes due.")


@router.post("/{task_id}/run-at", response_model=Retimed, responses=problem_errors(404, 409))
async def set_run_at(request: Request, task_id: str, body: RunAt) -> Response:
    """Change when a waiting task becomes due. The backend is chosen at that time.

    Status 409: a backend already has the task, it is over, or it waits to be repeated after a failure. Status 422: the
    new time is after the task's deadline.
    """
    gateway = gateway_of(request)
    due = body.due()
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    await gateway.task_log.get(task_id, caller)
    run_at = await set_run_time(gateway.database, task_id, due)
    return json_answer({"task_id": task_id, "status": "pending", "run_at": run_at})
