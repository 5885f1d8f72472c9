"""`GET /gateway/v1/tasks/{task_id}/payload`: what a task was given, for people."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.tasks.payload import JsonValue

router = APIRouter(prefix="/gateway/v1/tasks", tags=["tasks"], route_class=KeyedRoute)


class TaskPayload(BaseModel):
    """The payload of a task, with secrets redacted."""

    task_id: str
    payload: JsonValue = Field(
        description="The payload. If it is larger than 256 KiB or is not JSON: its beginning, as text."
    )
    bytes: int = Field(description="Size of the whole payload, as JSON, in bytes.")
    is_cut: bool = Field(description="Whether `payload` holds only the beginning.")


@router.get("/{task_id}/payload", response_model=TaskPayload, responses=problem_errors(404))
async def get_task_payload(request: Request, task_id: str) -> Response:
    """Return the payload of a task. Secrets are redacted; of a payload larger than 256 KiB only the beginning is
    returned."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    await gateway.task_log.get(task_id, caller)
    payload, size, is_cut = await gateway.dead_letters.payload_of_task(task_id)
    return json_answer({"task_id": task_id, "payload": payload, "bytes": size, "is_cut": is_cut})
