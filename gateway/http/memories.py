"""`POST /api/v1/memories/` (contract §4)."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import asyncpg
import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway.access.access import NO_PROJECT
from gateway.errors import Forbidden
from gateway.http.acceptance import IDEMPOTENCY_PARAMETER, accept
from gateway.http.openapi_errors import legacy_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.storage.database import type_Connection
from gateway.storage.queries import Queries
from gateway.submission.new_task import NewTask

SQL = Queries("gateway.http", "memories.sql")

router = APIRouter(prefix="/api/v1/memories", tags=["memories"], route_class=KeyedRoute)


class MemoryCreate(BaseModel):
    """A memory to store and to add to the graph."""

    project_id: str
    title: str
    content: str
    content_type: str = "text"
    tags: list[str] = []
    entities: list[dict[str, Any]] = []
    relationships: list[dict[str, Any]] = []
    collaborators: list[str] = []
    is_public: bool = False
    metadata: dict[str, Any] = Field(default_factory=dict)


class Memory(MemoryCreate):
    """A stored memory."""

    id: str
    version: int
    author_id: str
    status: str
    processing_status: str
    created_at: datetime
    updated_at: datetime | None
    task_id: str


@router.post(
    "/", status_code=201, response_model=Memory, responses=legacy_errors(403, 429), openapi_extra=IDEMPOTENCY_PARAMETER
)
async def create_memory(request: Request, memory: MemoryCreate) -> Response:
    """Store a memory and submit the task that adds it to the graph of its project. Either both happen, or
    neither."""
    if not memory.project_id:
        raise Forbidden(NO_PROJECT)
    admission = await gateway_of(request).access.admit(
        request.headers.get("authorization"), project_id=memory.project_id
    )
    placement, caller = admission.placement, admission.caller
    admission.check_memories()
    memory_id = str(uuid.uuid4())
    task = NewTask(
        task_type="add_episode",
        group_id=memory.project_id,
        payload={
            "group_id": memory.project_id,
            "name": memory.title or memory_id,
            "content": memory.content,
            "source_description": "User input",
            "episode_type": "text",
            "uuid": memory_id,
            "tenant_id": placement.tenant_id,
            "project_id": memory.project_id,
            "user_id": caller.user_id,
            "memory_id": memory_id,
        },
        placement=placement,
        user_id=caller.user_id,
        entity_id=memory_id,
        entity_type="memory",
    )
    stored = {
        "id": memory_id,
        **memory.model_dump(),
        "version": 1,
        "author_id": caller.user_id,
        "status": "ENABLED",
        "processing_status": "PENDING",
        "created_at": task.created_at.isoformat(),
        "updated_at": task.created_at.isoformat(),
        "task_id": task.task_id,
    }

    async def insert(connection: type_Connection) -> None:
        await _insert(connection, stored, task.created_at)

    return await accept(request, caller, [task], stored, status=201, beside=insert)


async def _insert(connection: type_Connection, memory: dict[str, Any], at: datetime) -> None:
    def json(name: str) -> str:
        return orjson.dumps(memory[name]).decode()

    try:
        await connection.execute(
            SQL.insert,
            memory["id"],
            memory["project_id"],
            memory["title"],
            memory["content"],
            memory["content_type"],
            json("tags"),
            json("entities"),
            json("relationships"),
            memory["version"],
            memory["author_id"],
            json("collaborators"),
            memory["is_public"],
            memory["status"],
            memory["processing_status"],
            json("metadata"),
            memory["task_id"],
            at,
        )
    except asyncpg.ForeignKeyViolationError as error:
        # The project was deleted between the look at it and now.
        raise Forbidden(NO_PROJECT) from error
