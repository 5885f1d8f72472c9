"""Handlers for nodes of DAGs, in the tests' own process: each says what it did, and does what its payload tells."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Any

from workers.handlers.base import TaskContext, TaskHandler, TaskRegistry

#: Names (`mark` of a payload) in the order in which they ran, by run of the DAG or by `tenant_id`.
RAN: defaultdict[str, list[str]] = defaultdict(list)
#: Failures that are left, by mark: those runs of it raise.
FAILURES: Counter[str] = Counter()
#: Runs of these marks wait until their event is set.
GATES: dict[str, asyncio.Event] = {}


class Echo(TaskHandler):
    """Its result is `value` of its payload, or, with `counts`, how often its mark has run."""

    @property
    def task_type(self) -> str:
        return "dag_echo"

    async def process(self, payload: dict[str, Any], context: TaskContext) -> None:
        mark = str(payload.get("mark", ""))
        if (gate := GATES.get(mark)) is not None:
            await context._update_task_log(payload["task_id"], "PROCESSING", progress=10, message="waiting")
            await gate.wait()
        RAN[str(payload["tenant_id"])].append(mark)
        if FAILURES[mark] > 0:
            FAILURES[mark] -= 1
            raise RuntimeError(f"{mark} was told to fail")
        if payload.get("bytes"):
            await context._update_task_log(payload["task_id"], "PROCESSING", result={"text": "x" * payload["bytes"]})
            return
        value = RAN[str(payload["tenant_id"])].count(mark) if payload.get("counts") else payload.get("value")
        await context._update_task_log(payload["task_id"], "PROCESSING", result={"value": value})


class Undo(Echo):
    @property
    def task_type(self) -> str:
        return "dag_undo"


def register(registry: TaskRegistry) -> None:
    registry.register(Echo())
    registry.register(Undo())
