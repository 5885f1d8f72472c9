"""The yardstick of `submit`: a bare FastAPI endpoint that inserts the same `task_logs` row and answers."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Episode(BaseModel):
    content: str
    name: str | None = None
    project_id: str | None = None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.pool = await asyncpg.create_pool(os.environ["TASKGATE_DATABASE_URL"], min_size=1, max_size=10)
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/api/v1/episodes/", status_code=202)
async def create(episode: Episode) -> dict[str, Any]:
    task_id, now = str(uuid.uuid4()), datetime.now(UTC)
    payload = {"task_id": task_id, "task_type": "add_episode", "content": episode.content, "name": episode.name}
    await app.state.pool.execute(
        "INSERT INTO task_logs (id, group_id, task_type, status, created_at, retry_count, payload, progress)"
        " VALUES ($1, $2, 'add_episode', 'PENDING', $3, 0, $4::json, 0)",
        task_id,
        episode.project_id or "neo4j",
        now,
        json.dumps(payload),
    )
    return {"id": task_id, "status": "queued", "created_at": now.isoformat(), "task_id": task_id}


if __name__ == "__main__":
    uvicorn.run(
        app, port=int(os.environ["PORT"]), loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )
