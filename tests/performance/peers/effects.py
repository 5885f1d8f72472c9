"""What every system under test does with a task: a line in the file `BENCH_EFFECTS` when it starts and when it ends.

Imported in two environments, the project's and that of the peers: standard library only. Kinds of tasks: `noop`;
`sleep`, which waits 50 ms; `once`, which never ends on its first run and at once on any later one.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

SLEEP_SECONDS = 0.05
FOREVER = 24 * 3600.0


def note(event: str, task_id: str) -> None:
    """Append `<event> <task> <pid> <wall clock>`; one write, so that lines of several processes never mix."""
    line = f"{event} {task_id} {os.getpid()} {time.time():.6f}\n".encode()
    file = os.open(os.environ["BENCH_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def seconds_of(task_id: str, kind: str) -> float:
    """How long this run takes. Called before its start is noted."""
    if kind == "once":
        runs_before = f"start {task_id} " in Path(os.environ["BENCH_EFFECTS"]).read_text()
        return 0.0 if runs_before else FOREVER
    return SLEEP_SECONDS if kind == "sleep" else 0.0


async def run(task_id: str, kind: str) -> None:
    """The task, for systems whose handlers are coroutines."""
    seconds = seconds_of(task_id, kind)
    note("start", task_id)
    if seconds:
        await asyncio.sleep(seconds)
    note("end", task_id)


def run_blocking(task_id: str, kind: str) -> None:
    """The task, for systems whose handlers are functions."""
    seconds = seconds_of(task_id, kind)
    note("start", task_id)
    if seconds:
        time.sleep(seconds)
    note("end", task_id)
