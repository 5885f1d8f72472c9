"""A handler whose runs are lines of a file: for workers in processes of their own, of any release.

`TASKGATE_TEST_RUNS` names the file, `TASKGATE_TEST_SIDE` what stands before each task's id.
"""

from __future__ import annotations

import os
from typing import Any

from workers.handlers.base import TaskContext, TaskHandler, TaskRegistry


class Written(TaskHandler):
    @property
    def task_type(self) -> str:
        return "written_run"

    async def process(self, payload: dict[str, Any], context: TaskContext) -> None:
        # One write of a few bytes at the end of a file is whole, whoever writes beside.
        file = os.open(os.environ["TASKGATE_TEST_RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, f"{os.environ['TASKGATE_TEST_SIDE']} {payload['task_id']}\n".encode())
        finally:
            os.close(file)


def register(registry: TaskRegistry) -> None:
    registry.register(Written())
