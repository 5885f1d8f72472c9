"""How the built-in handlers get at the graph."""

from __future__ import annotations

import asyncio
import importlib
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from workers.handlers.base import TaskContext


async def open_graph(context: TaskContext) -> Any:
    """The context's `graphiti_core.Graphiti`; graphiti is imported in a thread, because that takes seconds."""
    await asyncio.to_thread(importlib.import_module, "workers.graph.graphiti_client")
    return context._graphiti_client


def exclusive(graphiti: Any, group_id: str) -> AbstractAsyncContextManager[None]:
    """Keep other tasks of the group away while the block runs.

    Only the client that workers build has the lock; with another one, such as a test's, nobody else is there.
    """
    from workers.graph.graphiti_client import EpisodeGraphiti

    return graphiti.driver.exclusive(group_id) if isinstance(graphiti, EpisodeGraphiti) else nullcontext()
