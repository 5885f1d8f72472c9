"""graphiti's Neo4j driver, with indices that are built once and surely, and one task at a time per group."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from graphiti_core.driver.driver import GraphProvider
from graphiti_core.driver.neo4j_driver import Neo4jDriver
from graphiti_core.graph_queries import get_fulltext_indices, get_range_indices
from graphiti_core.models.edges.edge_db_queries import get_entity_edge_return_query
from graphiti_core.models.nodes.node_db_queries import get_entity_node_return_query
from neo4j import AsyncGraphDatabase, EagerResult
from neo4j.auth_management import AsyncAuthManagers
from neo4j.exceptions import Neo4jError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from gateway.graph.address import GraphAddress
from gateway.secret_files import Secret, text_of
from workers.graph.group_lock import LOCK_CONSTRAINT, GroupLocks

log = logging.getLogger(__name__)

_NAME = re.compile(r"(?:INDEX|CONSTRAINT) (\w+) IF NOT EXISTS")
_BUILD_ATTEMPTS = 5
_ONLINE_SECONDS = 60
#: A lock keeps a connection for as long as its task runs. They are not those of queries: tasks that have all the
#: connections for their locks would wait for each other. More than slots of a process can be.
_MOST_LOCKS = 100_000

_NODE = get_entity_node_return_query(GraphProvider.NEO4J)
_EDGE = get_entity_edge_return_query(GraphProvider.NEO4J)
#: What graphiti returns of every node and fact that it finds, and the same without the vector. graphiti throws the
#: vector away, after the driver has unpacked its thousand numbers: most of what an episode costs a worker.
_WITHOUT_VECTORS = {
    _NODE: _NODE.replace("properties(n)", "n {.*, name_embedding: null}"),
    _EDGE: _EDGE.replace("properties(e)", "e {.*, fact_embedding: null}"),
}


async def _auth(url: Callable[[], str]) -> tuple[str, str]:
    """Asked for by the first connection, and again when the server refuses what was answered."""
    address = GraphAddress.parse(url())
    return address.user, address.password


class GroupAwareDriver(Neo4jDriver):
    """A `Neo4jDriver` for workers.

    graphiti's own driver starts to build its indices when it is made, tells nobody when that failed, and lets a first
    search run before they exist; several workers that begin together race each other. Here `ready` says when the
    graph can be used, and is tried again by the next task after a failure.
    """

    def __init__(self, url: Secret) -> None:
        """Of a `url` that changes, user and password are followed; another server needs another driver."""
        self._building: asyncio.Task[None] | None = None
        address = GraphAddress.parse(text_of(url))
        super().__init__(address.uri, address.user or None, address.password or None, address.database)
        if callable(url):
            self.client = AsyncGraphDatabase.driver(address.uri, auth=AsyncAuthManagers.basic(partial(_auth, url)))
        self._lock_client = AsyncGraphDatabase.driver(
            address.uri,
            auth=AsyncAuthManagers.basic(partial(_auth, partial(text_of, url))),
            max_connection_pool_size=_MOST_LOCKS,
        )
        self.locks = GroupLocks(self._lock_client, address.database)
        # Neo4j warns of every property that no node has yet, in each query of a young graph.
        logging.getLogger("neo4j.notifications").setLevel(logging.ERROR)
        # And of each transaction that waited for another one's lock, which it tries again by itself.
        logging.getLogger("neo4j.session").setLevel(logging.ERROR)
        if self._init_task is not None:
            self._init_task.add_done_callback(_failed)

    async def execute_query(self, cypher_query_: str, **kwargs: Any) -> EagerResult:
        for fragment, lighter in _WITHOUT_VECTORS.items():
            cypher_query_ = cypher_query_.replace(fragment, lighter)
        return await super().execute_query(cypher_query_, **kwargs)

    def begin(self) -> asyncio.Task[None]:
        """Build indices and constraints in the background, unless that is done or under way."""
        if self._building is None or (self._building.done() and _failed(self._building)):
            self._building = asyncio.create_task(self._build(), name="graph indices")
            self._building.add_done_callback(_report)
        return self._building

    async def ready(self) -> None:
        """Return when indices and constraints are there. Raises the driver's error when they cannot be built."""
        await asyncio.shield(self.begin())

    async def build_indices_and_constraints(self, delete_existing: bool = False) -> None:
        if delete_existing:
            await self.delete_all_indexes()
            self._building = None
        await self.ready()

    @asynccontextmanager
    async def exclusive(self, group_id: str, seconds: float | None = None) -> AsyncIterator[None]:
        """Hold the group's lock (see `GroupLocks.hold`)."""
        await self.ready()
        async with self.locks.hold(group_id, seconds):
            yield

    async def close(self) -> None:
        if self._building is not None and not self._building.done():
            self._building.cancel()
        await self._lock_client.close()
        await super().close()

    # Another worker may build the same at this moment; what it has built is not missing next time.
    @retry(
        retry=retry_if_exception_type(Neo4jError),
        stop=stop_after_attempt(_BUILD_ATTEMPTS),
        wait=wait_exponential(0.2),
        reraise=True,
    )
    async def _build(self) -> None:
        missing = await self._missing()
        for query in missing:
            await self._execute_index_query(query)
        if missing:
            await self.execute_query("CALL db.awaitIndexes($seconds)", seconds=_ONLINE_SECONDS)
            log.info("built %d indices of the knowledge graph", len(missing))

    async def _missing(self) -> list[Any]:
        wanted = [*get_range_indices(GraphProvider.NEO4J), *get_fulltext_indices(GraphProvider.NEO4J), LOCK_CONSTRAINT]
        result = await self.execute_query("SHOW INDEXES YIELD name, state WHERE state = 'ONLINE' RETURN name")
        there = {record["name"] for record in result.records}
        return [query for query in wanted if (match := _NAME.search(query)) is None or match.group(1) not in there]


def _failed(task: asyncio.Task[None]) -> bool:
    """Whether a finished task brought nothing; also keeps asyncio from complaining that nobody looked."""
    return task.cancelled() or task.exception() is not None


def _report(task: asyncio.Task[None]) -> None:
    if _failed(task) and not task.cancelled():
        log.warning("the graph's indices could not be built yet; the next task tries again: %s", task.exception())
