"""Handlers with a `rehearse` that does what its type says: a plug-in (`TASKGATE_HANDLERS`).

None of them may be run by a probe: `RUNS` names the tasks whose `process` began.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from workers.handlers.base import TaskRegistry

RUNS: list[str] = []
SEEN: list[dict[str, Any]] = []
"""What `rehearse` was given."""
BEGAN = threading.Event()
"""A `rehearse` that waits has begun."""
RELEASED = threading.Event()
"""Lets those go on that block."""


async def good(payload: dict[str, Any], context: Any) -> None:
    SEEN.append(payload)
    await context._schema_loader(payload.get("project_id", "none"))


def plain(payload: dict[str, Any], context: Any) -> None:
    SEEN.append(payload)
    context._schema_loader("none")


async def writes(payload: dict[str, Any], context: Any) -> None:
    await context._update_task_log(payload["task_id"], "COMPLETED", progress=100)


async def hides(payload: dict[str, Any], context: Any) -> None:
    with contextlib.suppress(Exception):
        await context._update_memory_status("m1", "COMPLETED")


async def graph(payload: dict[str, Any], context: Any) -> None:
    await context._graphiti_client.add_episode(payload)


async def raises(payload: dict[str, Any], context: Any) -> None:
    raise LookupError("no such model")


class Mute(Exception):
    """It cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


async def mute(payload: dict[str, Any], context: Any) -> None:
    raise Mute


async def exits(payload: dict[str, Any], context: Any) -> None:
    raise SystemExit(3)


async def waits(payload: dict[str, Any], context: Any) -> None:
    BEGAN.set()
    await asyncio.Event().wait()


def blocks(payload: dict[str, Any], context: Any) -> None:
    BEGAN.set()
    RELEASED.wait()


def dies(payload: dict[str, Any], context: Any) -> None:
    """The process with it: only for handlers that have one of their own."""
    os._exit(3)


class Handler:
    """Of the type `rehearse_<name>`."""

    timeout_seconds = 10

    def __init__(self, rehearse: Callable[..., Awaitable[None] | None]) -> None:
        self.task_type = f"rehearse_{rehearse.__name__}"
        self.rehearse = rehearse

    async def process(self, payload: dict[str, Any], context: Any) -> None:
        RUNS.append(payload["task_id"])


HANDLERS = [Handler(rehearse) for rehearse in (good, plain, writes, hides, graph, raises, mute, exits, waits, blocks)]


def register(registry: TaskRegistry) -> None:
    for handler in [*HANDLERS, Handler(dies)]:
        registry.register(handler)  # type: ignore[arg-type]
