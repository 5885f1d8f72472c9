"""`/gateway/v1/tasks/{id}/run-at`: another time for a task that waits for its time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gateway.errors import InvalidRequest
from gateway.http.acceptance import json_answer
from gateway.http.documents import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.status.run_time import set_run_time
from gateway.submission import LONGEST_DELAY, due_time

router = APIRouter(prefix="/gateway/v1/tasks", tags=["tasks"], route_class=KeyedRoute)


class RunAt(BaseModel):
    """One of the two; a `run_at` in the past means now."""

    model_config = ConfigDict(extra="forbid")
    delay_seconds: Annotated[float | None, Field(ge=0, le=LONGEST_DELAY.total_seconds(), allow_inf_nan=False)] = None
    run_at: AwareDatetime | None = None


class Retimed(BaseModel):
    """`run_at` is when the task becomes due."""

    task_id: str
    status: Literal["pending"]
    run_at: datetime


@router.post("/{task_id}/run-at", response_model=Retimed, responses=problem_errors(404, 409))
async def set_run_at(request: Request, task_id: str, body: RunAt) -> Response:
    """Give a task that waits another time; 409 once it was handed to a backend or is over, and between its attempts.

    The backend is chosen when the task becomes due.
    """
    gateway = gateway_of(request)
    if body.delay_seconds is None and body.run_at is None:
        raise InvalidRequest("Give delay_seconds or run_at.", field="run_at")
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    await gateway.task_log.get(task_id, caller)
    run_at = await set_run_time(gateway.database, task_id, due_time(body.delay_seconds, body.run_at))
    return json_answer({"task_id": task_id, "status": "pending", "run_at": run_at})
