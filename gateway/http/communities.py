"""`POST /api/v1/communities/rebuild` (contract §4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from gateway.access.access import Admission
from gateway.http.acceptance import IDEMPOTENCY_PARAMETER, json_answer, read_idempotency, replayed
from gateway.http.documents import legacy_errors
from gateway.http.problems import error_answer
from gateway.http.route import KeyedRoute, gateway_of
from gateway.intake import NewTask
from gateway.status.dispatch_view import DispatchView, Ending

if TYPE_CHECKING:
    from gateway.bootstrap import Gateway

router = APIRouter(prefix="/api/v1/communities", tags=["communities"], route_class=KeyedRoute)

#: The group of a rebuild without a project.
ALL_GROUPS = "global"


class RebuildAnswer(BaseModel):
    """A rebuild that was submitted, or one that succeeded (without task_id and task_url)."""

    status: Literal["submitted", "success"]
    message: str
    task_id: str | None = None
    task_url: str | None = None


def rebuild_task(admission: Admission) -> NewTask:
    """The task that rebuilds the communities of the admitted project, or of the whole graph."""
    group_id = admission.placement.project_id or ALL_GROUPS
    return NewTask(
        task_type="rebuild_communities",
        group_id=group_id,
        payload={"task_group_id": group_id},
        placement=admission.placement,
        user_id=admission.caller.user_id,
        entity_id=group_id,
        entity_type="group",
    )


@router.post(
    "/rebuild",
    response_model=RebuildAnswer,
    response_model_exclude_none=True,
    responses=legacy_errors(403, 502, 504),
    openapi_extra=IDEMPOTENCY_PARAMETER,
)
async def rebuild_communities(request: Request, background: bool = False, project_id: str | None = None) -> Response:
    """Rebuild communities. With `background=false` the answer waits for the end.

    A rebuild that fails or is stopped is answered 502, one that outlasts the longest wait 504; it then goes on, and
    `task_url` shows how it ends.
    """
    gateway = gateway_of(request)
    admission = await gateway.access.admit(request.headers.get("authorization"), project_id=project_id)
    task = rebuild_task(admission)
    submitted = {
        "status": "submitted",
        "message": "Community rebuild started in background",
        "task_id": task.task_id,
        "task_url": f"/api/v1/tasks/{task.task_id}",
    }
    # Remembered is what was submitted, also when this answer waits: whoever asks again then waits for the same task.
    idempotency = await read_idempotency(request, admission.caller, 200, orjson.dumps(submitted))
    replay = await gateway.intake.submit([task], idempotency=idempotency)
    if background:
        return json_answer(submitted) if replay is None else replayed(replay)
    task_id = task.task_id if replay is None else orjson.loads(replay.answer)["task_id"]
    answer = await _answer_at_end(request, gateway, task_id)
    if replay is not None:
        answer.headers["Idempotency-Replayed"] = "true"
    return answer


async def _answer_at_end(request: Request, gateway: Gateway, task_id: str) -> Response:
    waiting = asyncio.create_task(_wait_for_end(gateway, task_id))
    leaving = asyncio.create_task(_wait_for_disconnect(request))
    try:
        limit = gateway.settings.communities_wait_seconds
        await asyncio.wait((waiting, leaving), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        ending = waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()
        leaving.cancel()
        await asyncio.gather(waiting, leaving, return_exceptions=True)
    if ending is not None and ending.state == "completed":
        return json_answer({"status": "success", "message": "Communities rebuilt successfully"})
    where: dict[str, Any] = {"task_id": task_id, "task_url": f"/api/v1/tasks/{task_id}"}
    if ending is None:
        return error_answer(request.url.path, 504, "The rebuild of communities has not ended yet; it goes on.", **where)
    return error_answer(
        request.url.path, 502, f"Failed to rebuild communities: {ending.error or ending.state}", **where
    )


async def _wait_for_end(gateway: Gateway, task_id: str) -> Ending | None:
    """How the task ended; None when the gateway shuts down first."""
    view = DispatchView(gateway.database)
    async with gateway.feed.subscribe(task_id) as changes:
        # The end may have come before the subscription.
        if (ending := await view.ending(task_id)) is not None:
            return ending
        async for _ in changes:
            if (ending := await view.ending(task_id)) is not None:
                return ending
    return None


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
