"""The yardstick of `rpc`: a bare `grpc.aio` servicer that inserts the same `task_logs` row and answers."""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime
from typing import Any

import asyncpg
import grpc
import uvloop
from google.protobuf.json_format import MessageToDict
from taskgate.v1 import SubmitRequest, SubmitResponse, Task, TaskServiceServicer, add_TaskServiceServicer_to_server


class Servicer(TaskServiceServicer):
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def Submit(self, request: SubmitRequest, context: Any) -> SubmitResponse:
        task_id, now, task = str(uuid.uuid4()), datetime.now(UTC), request.task
        payload = {**MessageToDict(task.payload), "task_id": task_id, "task_type": task.task_type}
        await self._pool.execute(
            "INSERT INTO task_logs (id, group_id, task_type, status, created_at, retry_count, payload, progress)"
            " VALUES ($1, $2, $3, 'PENDING', $4, 0, $5::json, 0)",
            task_id,
            task.project_id,
            task.task_type,
            now,
            json.dumps(payload),
        )
        return SubmitResponse(task=Task(task_id=task_id, task_type=task.task_type))


async def main() -> None:
    pool = await asyncpg.create_pool(os.environ["TASKGATE_DATABASE_URL"], min_size=1, max_size=10)
    server = grpc.aio.server()
    add_TaskServiceServicer_to_server(Servicer(pool), server)
    server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main())
