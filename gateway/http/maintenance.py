"""`POST /api/v1/maintenance/…` (contract §4).

The contract names no project for these. A query parameter `project_id` chooses the group of a project (checked like
everywhere else); without it they work on every group of the caller's own tenant, which is also the tenant of the tasks
(quirk G1), and for administrators on all groups.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway.access.access import Access
from gateway.access.admission import Admission
from gateway.access.groups import group_ids
from gateway.graph.preview import find_duplicates
from gateway.http.acceptance import IDEMPOTENCY_PARAMETER, accept, json_answer
from gateway.http.communities import ProjectOrTenant, rebuild_task
from gateway.http.openapi_errors import legacy_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.secret_files import text_of
from gateway.submission.new_task import NewTask

router = APIRouter(prefix="/api/v1/maintenance", tags=["maintenance"], route_class=KeyedRoute)

_SIMILARITY = 0.9
_MOST_OPERATIONS = 100


class IncrementalRefresh(BaseModel):
    """Which episodes to refresh."""

    episode_uuids: list[str] | None = Field(None, description="Default: the most recent episodes.")
    rebuild_communities: bool = Field(False, description="Rebuild the communities afterwards, too.")


class Deduplication(BaseModel):
    """How to find duplicates, and whether to merge them."""

    similarity_threshold: Annotated[
        float,
        Field(ge=0, le=1, allow_inf_nan=False, description="How similar two names must be, from 0 to 1 (the same)."),
    ] = _SIMILARITY
    dry_run: bool = Field(True, description="Only report the duplicates; merge nothing.")


class Optimization(BaseModel):
    """Which operations to run."""

    operations: Annotated[
        list[str],
        Field(
            max_length=_MOST_OPERATIONS,
            description="`incremental_refresh`, `deduplicate` and `rebuild_communities`, in any order. Other names "
            "are ignored.",
        ),
    ] = ["incremental_refresh", "deduplicate"]
    dry_run: bool = Field(True, description="Only report what the operations would do.")


class RefreshQueued(BaseModel):
    """A refresh whose task was accepted."""

    status: Literal["success"]
    message: str
    task_id: str
    episodes_to_process: int | Literal["recent episodes"]


class DuplicateGroup(BaseModel):
    """Entities that are probably the same."""

    name: str
    count: int
    uuids: list[str]


class DuplicatesFound(BaseModel):
    """Entities that a deduplication would merge."""

    dry_run: Literal[True]
    duplicates_found: int
    duplicate_groups: list[DuplicateGroup]
    message: str


class DeduplicationQueued(BaseModel):
    """A deduplication whose task was accepted."""

    status: Literal["success"]
    message: str
    task_id: str
    dry_run: Literal[False]


class OperationRun(BaseModel):
    """One operation, with the task that was accepted for it, or with what a dry run found."""

    operation: str
    result: dict[str, Any]


class Optimized(BaseModel):
    """The operations that were run, in the order of the request."""

    operations_run: list[OperationRun]
    dry_run: bool
    timestamp: str


@router.post(
    "/refresh/incremental",
    response_model=RefreshQueued,
    responses=legacy_errors(403, 429),
    openapi_extra=IDEMPOTENCY_PARAMETER,
)
async def refresh_graph(
    request: Request, refresh: IncrementalRefresh | None = None, project_id: ProjectOrTenant = None
) -> Response:
    """Process episodes again and update the graph, in a task."""
    refresh = refresh or IncrementalRefresh()
    admission = await _admit(request, project_id)
    task = await _refresh_task(gateway_of(request).access, admission, refresh)
    answer = {
        "status": "success",
        "message": "Incremental refresh task queued",
        "task_id": task.task_id,
        "episodes_to_process": len(refresh.episode_uuids) if refresh.episode_uuids else "recent episodes",
    }
    return await accept(request, admission.caller, [task], answer)


@router.post(
    "/deduplicate",
    response_model=DuplicatesFound | DeduplicationQueued,
    responses=legacy_errors(403, 429),
    openapi_extra=IDEMPOTENCY_PARAMETER,
)
async def deduplicate_entities(
    request: Request, deduplication: Deduplication | None = None, project_id: ProjectOrTenant = None
) -> Response:
    """Merge entities whose names are nearly the same, in a task. A dry run returns them at once and creates no
    task."""
    deduplication = deduplication or Deduplication()
    admission = await _admit(request, project_id)
    if deduplication.dry_run:
        groups = await _duplicates(request, admission, deduplication.similarity_threshold)
        return json_answer(
            {
                "dry_run": True,
                "duplicates_found": len(groups),
                "duplicate_groups": groups,
                "message": f"Found {len(groups)} potential duplicate groups",
            }
        )
    access, threshold = gateway_of(request).access, deduplication.similarity_threshold
    task = await _deduplication_task(access, admission, threshold)
    answer = {
        "status": "success",
        "message": "Deduplication task queued",
        "task_id": task.task_id,
        "dry_run": False,
    }
    return await accept(request, admission.caller, [task], answer)


@router.post(
    "/optimize", response_model=Optimized, responses=legacy_errors(403, 429), openapi_extra=IDEMPOTENCY_PARAMETER
)
async def optimize_graph(
    request: Request, optimization: Optimization | None = None, project_id: ProjectOrTenant = None
) -> Response:
    """Run several maintenance operations, each in its own task. Either all tasks are accepted, or none. A dry run
    creates no task."""
    optimization = optimization or Optimization()
    admission = await _admit(request, project_id)
    tasks: list[NewTask] = []
    rehearsed: dict[str, dict[str, Any] | None] = {}
    runs = []
    for operation in optimization.operations:
        if not optimization.dry_run:
            result = await _queue(gateway_of(request).access, admission, operation, tasks)
        elif operation in rehearsed:
            result = rehearsed[operation]
        else:
            result = rehearsed[operation] = await _rehearse(request, admission, operation)
        # Legacy passes over operations that it does not know.
        if result is not None:
            runs.append({"operation": operation, "result": result})
    answer = {
        "operations_run": runs,
        "dry_run": optimization.dry_run,
        "timestamp": datetime.now(UTC).isoformat(),
    }
    if not tasks:
        return json_answer(answer)
    return await accept(request, admission.caller, tasks, answer)


async def _queue(access: Access, admission: Admission, operation: str, tasks: list[NewTask]) -> dict[str, Any] | None:
    match operation:
        case "incremental_refresh":
            tasks.append(await _refresh_task(access, admission, IncrementalRefresh()))
        case "deduplicate":
            tasks.append(await _deduplication_task(access, admission, _SIMILARITY))
        case "rebuild_communities":
            tasks.append(await rebuild_task(access, admission))
        case _:
            return None
    return {"status": "success", "task_id": tasks[-1].task_id}


async def _rehearse(request: Request, admission: Admission, operation: str) -> dict[str, Any] | None:
    match operation:
        case "incremental_refresh":
            return {"dry_run": True, "message": "Would refresh recent episodes"}
        case "deduplicate":
            groups = await _duplicates(request, admission, _SIMILARITY)
            return {
                "dry_run": True,
                "duplicates_found": len(groups),
                "message": f"Found {len(groups)} potential duplicate groups",
            }
        case "rebuild_communities":
            return {"dry_run": True, "message": "Would rebuild communities"}
        case _:
            return None


async def _admit(request: Request, project_id: str | None) -> Admission:
    return await gateway_of(request).access.admit(request.headers.get("authorization"), project_id=project_id)


async def _duplicates(request: Request, admission: Admission, threshold: float) -> list[dict[str, Any]]:
    """What the task would find: in the same groups. Raises `GraphUnavailable`."""
    gateway, group_id = gateway_of(request), admission.group_of("deduplicate_entities")
    groups = await gateway.access.groups_of(admission, "deduplicate_entities", group_id) or [group_id]
    settings = gateway.settings
    url = text_of(settings.follow("graph_url")) if settings.graph_url else None
    return await find_duplicates(url, groups, threshold)


async def _refresh_task(access: Access, admission: Admission, refresh: IncrementalRefresh) -> NewTask:
    group_id, episodes = admission.group_of("incremental_refresh"), refresh.episode_uuids or None
    groups = await access.groups_of(admission, "incremental_refresh", group_id)
    return NewTask(
        task_type="incremental_refresh",
        group_id=group_id,
        payload={
            "group_id": group_id,
            "episode_uuids": episodes,
            "rebuild_communities": refresh.rebuild_communities,
            "tenant_id": admission.placement.tenant_id,
            "project_id": admission.placement.project_id,
            "user_id": admission.caller.user_id,
            **group_ids(groups),
        },
        placement=admission.placement,
        user_id=admission.caller.user_id,
        entity_id=f"{group_id}:{len(episodes) if episodes else 'recent'}",
        entity_type="refresh",
    )


async def _deduplication_task(access: Access, admission: Admission, similarity_threshold: float) -> NewTask:
    group_id = admission.group_of("deduplicate_entities")
    groups = await access.groups_of(admission, "deduplicate_entities", group_id)
    return NewTask(
        task_type="deduplicate_entities",
        group_id=group_id,
        payload={
            "group_id": group_id,
            "similarity_threshold": similarity_threshold,
            "dry_run": False,
            "project_id": admission.placement.project_id,
            **group_ids(groups),
        },
        placement=admission.placement,
        user_id=admission.caller.user_id,
        entity_id=group_id,
        entity_type="deduplication",
    )
