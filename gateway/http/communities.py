"""`POST /api/v1/communities/rebuild` (contract §4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from gateway.access.access import Access
from gateway.access.admission import Admission
from gateway.access.groups import group_ids
from gateway.http.acceptance import IDEMPOTENCY_PARAMETER, json_answer, read_idempotency, replayed
from gateway.http.openapi_errors import legacy_errors
from gateway.http.problems import error_answer
from gateway.http.route import KeyedRoute, gateway_of
from gateway.submission.new_task import NewTask
from gateway.tasks.queries.task_row import Status

if TYPE_CHECKING:
    from gateway.gateway import Gateway

router = APIRouter(prefix="/api/v1/communities", tags=["communities"], route_class=KeyedRoute)


class RebuildAnswer(BaseModel):
    """A rebuild that was submitted (`background=true`) or has completed (`background=false`; then without `task_id` and
    `task_url`)."""

    status: Literal["submitted", "success"]
    message: str
    task_id: str | None = None
    task_url: str | None = None


ProjectOrTenant = Annotated[
    str | None,
    Query(
        description="Work on the graph of this project only. Default: all graphs of the caller's tenant; for "
        "administrators, the whole graph."
    ),
]


async def rebuild_task(access: Access, admission: Admission) -> NewTask:
    """The task that rebuilds the communities of the project, else of the tenant (administrators: the whole graph)."""
    group_id = admission.group_of("rebuild_communities")
    groups = await access.groups_of(admission, "rebuild_communities", group_id)
    return NewTask(
        task_type="rebuild_communities",
        group_id=group_id,
        payload={"task_group_id": group_id, **group_ids(groups)},
        placement=admission.placement,
        user_id=admission.caller.user_id,
        entity_id=group_id,
        entity_type="group",
    )


@router.post(
    "/rebuild",
    response_model=RebuildAnswer,
    response_model_exclude_none=True,
    responses=legacy_errors(403, 429, 502, 504),
    openapi_extra=IDEMPOTENCY_PARAMETER,
)
async def rebuild_communities(
    request: Request,
    background: Annotated[
        bool, Query(description="`true`: answer as soon as the task is accepted. `false`: answer when it has ended.")
    ] = False,
    project_id: ProjectOrTenant = None,
) -> Response:
    """Rebuild the communities of the graph, in a task. With `background=false`, the response waits for the end of the
    task.

    Status 502: the rebuild failed or was stopped. Status 504: it takes longer than `TASKGATE_COMMUNITIES_WAIT_SECONDS`;
    it continues, and `task_url` shows how it ends.
    """
    gateway = gateway_of(request)
    admission = await gateway.access.admit(request.headers.get("authorization"), project_id=project_id)
    task = await rebuild_task(gateway.access, admission)
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
    """Wait for the end of the task, while the client waits too. Raises `ShuttingDown`."""
    waiting = asyncio.create_task(gateway.feed.wait_terminal(task_id, gateway.settings.communities_wait_seconds))
    leaving = asyncio.create_task(_wait_for_disconnect(request))
    try:
        await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
        row = waiting.result() if waiting.done() else None
    except TimeoutError:
        row = None
    finally:
        waiting.cancel()
        leaving.cancel()
        await asyncio.gather(waiting, leaving, return_exceptions=True)
    if row is not None and row.status == Status.COMPLETED:
        return json_answer({"status": "success", "message": "Communities rebuilt successfully"})
    where: dict[str, Any] = {"task_id": task_id, "task_url": f"/api/v1/tasks/{task_id}"}
    if row is None:
        return error_answer(
            request.scope["path"], 504, "The rebuild of communities has not ended yet; it goes on.", **where
        )
    why = f"Failed to rebuild communities: {row.error_message or row.status.lower()}"
    return error_answer(request.scope["path"], 502, why, **where)


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
