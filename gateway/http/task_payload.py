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
    """A payload with its secrets hidden."""

    task_id: str
    payload: JsonValue = Field(description="A text: it is too large, or no JSON; this is its beginning")
    bytes: int = Field(description="Of the JSON as it is stored")
    is_cut: bool = Field(description="The payload is larger than what is shown")


@router.get("/{task_id}/payload", response_model=TaskPayload, responses=problem_errors(404))
async def get_task_payload(request: Request, task_id: str) -> Response:
    """What a task was given, redacted as payloads of dead letters are; of a large one the beginning."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    await gateway.task_log.get(task_id, caller)
    payload, size, is_cut = await gateway.dead_letters.payload_of_task(task_id)
    return json_answer({"task_id": task_id, "payload": payload, "bytes": size, "is_cut": is_cut})
