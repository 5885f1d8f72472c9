"""`POST /api/v1/episodes/` (contract §4)."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import IDEMPOTENCY_PARAMETER, accept
from gateway.http.openapi_errors import legacy_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.submission.new_task import NewTask

router = APIRouter(prefix="/api/v1/episodes", tags=["episodes"], route_class=KeyedRoute)

_NAME_LENGTH = 50


class EpisodeCreate(BaseModel):
    """An episode to add to the graph."""

    name: str | None = Field(None, description="Default: the first 50 characters of `content`, and `...`.")
    content: str
    source_description: str | None = "text"
    episode_type: str | None = "text"
    metadata: dict[str, Any] | None = Field(None, description="Accepted, but not used.")
    project_id: str | None = None
    tenant_id: str | None = Field(None, description="Default: the project's tenant, else the caller's own tenant.")
    user_id: str | None = Field(None, description="User that the handler is given. Default: the caller.")


class EpisodeAccepted(BaseModel):
    """An episode whose task was accepted."""

    id: str = Field(description="ID of the episode.")
    name: str
    content: str
    status: str
    created_at: str
    message: str
    task_id: str


@router.post(
    "/",
    status_code=202,
    response_model=EpisodeAccepted,
    responses=legacy_errors(403, 429),
    openapi_extra=IDEMPOTENCY_PARAMETER,
)
async def create_episode(
    request: Request,
    episode: EpisodeCreate,
    background: Annotated[
        bool,
        Query(
            description="Changes only `status` and `message` of the response; the episode is always added in a task."
        ),
    ] = False,
) -> Response:
    """Add an episode to the knowledge graph, in a task."""
    admission = await gateway_of(request).access.admit(
        request.headers.get("authorization"), project_id=episode.project_id, tenant_id=episode.tenant_id
    )
    placement, caller = admission.placement, admission.caller
    episode_id = str(uuid.uuid4())
    name = episode.name or episode.content[:_NAME_LENGTH] + "..."
    group_id = admission.group_of("add_episode")
    task = NewTask(
        task_type="add_episode",
        group_id=group_id,
        payload={
            "group_id": group_id,
            "name": name,
            "content": episode.content,
            "source_description": episode.source_description or "text",
            "episode_type": episode.episode_type or "text",
            "uuid": episode_id,
            "tenant_id": placement.tenant_id,
            "project_id": placement.project_id,
            "user_id": episode.user_id or caller.user_id,
            "memory_id": None,
        },
        placement=placement,
        user_id=caller.user_id,
        entity_id=episode_id,
        entity_type="episode",
    )
    answer = {
        "id": episode_id,
        "name": name,
        "content": episode.content,
        "status": "queued" if background else "processing",
        "created_at": task.created_at.isoformat(),
        "message": "Episode queued for background processing" if background else "Episode queued for ingestion",
        "task_id": task.task_id,
    }
    return await accept(request, caller, [task], answer, status=202)
