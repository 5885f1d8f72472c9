"""`GraphConnection`: a worker's one client of the knowledge graph, made when a handler first touches it."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from gateway.settings import Settings
from workers.graph.errors import GraphLibrariesMissing, GroupBusy

if TYPE_CHECKING:
    from workers.graph.graphiti_client import EpisodeGraphiti

log = logging.getLogger(__name__)

#: How long a task waits for its turn, and keeps a slot, before it is offered again later. With `ADMISSION_SECONDS` less
#: than `CLAIM_SECONDS` of `gateway.recovery.unclaimed`.
TURN_SECONDS = 3.0
_MODULE = "workers.graph.graphiti_client"


class GraphConnection:
    """Shared by all tasks of a process. A handler that never touches the graph needs neither graphiti nor Neo4j."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: EpisodeGraphiti | None = None

    @property
    def client(self) -> EpisodeGraphiti:
        """The client. Its first use imports graphiti unless `warm_up` did. Raises `GraphError`."""
        if self._client is None:
            client: EpisodeGraphiti = _load().build_graphiti(self._settings)
            self._client = client
        return self._client

    async def warm_up(self) -> None:
        """Import what the first task would wait for, in a thread, and begin to build the graph's indices.

        Nothing to do when no graph is configured. Raises `GraphError`; a server that is away is none.
        """
        if self._settings.graph_url:
            await asyncio.to_thread(self._import)
            self.client.driver.begin()

    @asynccontextmanager
    async def turn(self, group_id: str, seconds: float = TURN_SECONDS) -> AsyncIterator[None]:
        """Keep other tasks of the group off its graph. Raises `GroupBusy` if that cannot be had in so many seconds.

        Without a graph, or with one that cannot be used, nobody is kept off: the handler says what is wrong.
        """
        async with AsyncExitStack() as held:
            if self._settings.graph_url:
                try:
                    if self._client is None:
                        await asyncio.to_thread(self._import)
                    await held.enter_async_context(self.client.driver.exclusive(group_id, seconds))
                except GroupBusy:
                    raise
                except Exception as error:  # noqa: BLE001 - graphiti, Neo4j's driver, the models that are configured
                    log.debug("no turn on the graph: %s", type(error).__name__)
            yield

    def _import(self) -> None:
        client = _load()
        if self._settings.models_module is not None:
            client.stand_ins(self._settings)

    async def close(self) -> None:
        """Give back the connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.driver.close()


def _load() -> ModuleType:
    try:
        return importlib.import_module(_MODULE)
    except ModuleNotFoundError as error:
        raise GraphLibrariesMissing from error
