"""Handlers whose runs leave a line each in the file `LEGACY_EFFECTS`: for legacy workers, and as a plug-in.

What a run does stands in its payload's `effect`: nothing, `sleep:<seconds>`, `fail:<text>` or `result:<number>`.
A line is one `write` to a file opened for appending, so it survives SIGKILL.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

TYPES = ("add_episode", "rebuild_communities", "incremental_refresh", "deduplicate_entities", "noop")


def note(task: dict[str, Any], event: str) -> None:
    """Append `{task, type, event, payload, pid, at}`."""
    line = {
        "task": task["task_id"],
        "type": task["task_type"],
        "event": event,
        "payload": task,
        "pid": os.getpid(),
        "at": time.time(),
    }
    file = os.open(os.environ["LEGACY_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)


class EffectHandler:
    """One task type of `TYPES`."""

    timeout_seconds = 600

    def __init__(self, task_type: str) -> None:
        self.task_type = task_type

    async def process(self, payload: dict[str, Any], context: Any) -> None:
        note(payload, "start")
        effect, _, argument = str(payload.get("effect") or "").partition(":")
        if effect == "sleep":
            await asyncio.sleep(float(argument))
        elif effect == "fail":
            note(payload, "fail")
            raise RuntimeError(argument)
        elif effect == "result":
            result = {"value": int(argument)}
            await context._update_task_log(payload["task_id"], "PROCESSING", progress=50, result=result)
        note(payload, "end")


def register(registry: Any) -> None:
    for task_type in TYPES:
        registry.register(EffectHandler(task_type))
