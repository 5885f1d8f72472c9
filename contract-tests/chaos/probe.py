"""The handler of the fault suite: every start and end of a run is a line in a file.

A line is one `write` to a file opened for appending, so it survives SIGKILL of the worker and any fault of a server.
Times are `CLOCK_MONOTONIC`, which all processes of one host share.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
import uuid
from pathlib import Path
from typing import Any


def note(task_id: str, run: str, event: str) -> None:
    by = os.environ.get("CHAOS_WORKER", "")
    line = {"task": task_id, "run": run, "event": event, "at": time.monotonic(), "pid": os.getpid(), "by": by}
    file = os.open(os.environ["CHAOS_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)


class ChaosProbe:
    """Runs for `ms` milliseconds; fails with probability `fail`, else its result is `value`."""

    task_type = "chaos_probe"
    timeout_seconds = 60

    async def process(self, payload: dict[str, Any], context: Any) -> None:
        task_id, run = payload["task_id"], uuid.uuid4().hex
        note(task_id, run, "start")
        try:
            for step in range(4):
                await asyncio.sleep(payload["ms"] / 4000)
                await context._update_task_log(task_id, "PROCESSING", progress=25 * (step + 1))
            if "value" in payload:
                await context._update_task_log(task_id, "PROCESSING", result={"value": payload["value"]})
        except BaseException as error:
            note(task_id, run, "cancelled" if isinstance(error, asyncio.CancelledError) else "failed")
            raise
        if random.random() < self.chance_of_failure(payload):
            note(task_id, run, "failed")
            raise RuntimeError(f"{self.task_type} fails as it was told to")
        note(task_id, run, "end")

    def chance_of_failure(self, payload: dict[str, Any]) -> float:
        chance: float = payload.get("fail", 0)
        return chance

    async def rehearse(self, payload: dict[str, Any], context: Any) -> None:
        """Notes nothing: it is no run."""
        await asyncio.sleep(payload["ms"] / 4000)


class ChaosStep(ChaosProbe):
    """The same, as a node of a DAG."""

    task_type = "chaos_step"


class ChaosBrittle(ChaosProbe):
    """Fails on Temporal, and nowhere else, until there is a file `mended` beside the effects."""

    task_type = "chaos_brittle"

    def chance_of_failure(self, payload: dict[str, Any]) -> float:
        is_mended = Path(os.environ["CHAOS_EFFECTS"]).with_name("mended").exists()
        return float(os.environ.get("CHAOS_WORKER") == "temporal" and not is_mended)
