"""The dry run of deduplication: read from the graph at once, without a task."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Sequence
from typing import Any

from gateway.errors import GraphUnavailable
from gateway.graph.address import GraphAddress
from gateway.graph.duplicates import find_duplicate_groups
from gateway.graph.errors import GraphError

log = logging.getLogger(__name__)

#: Whole seconds, for `Retry-After`.
_RETRY_AFTER = 5
#: The longest waits (seconds) for a connection to the graph, and for its answer.
_CONNECT_PATIENCE, _PATIENCE = 5.0, 60.0


async def find_duplicates(
    graph_url: str | None, group_ids: Sequence[str], similarity_threshold: float
) -> list[dict[str, Any]]:
    """Entities of these groups whose names are near-identical: `{name, count, uuids}`. Raises `GraphUnavailable`."""
    # Here, because only this request needs Neo4j's driver, and in a thread, because it takes a while to load.
    await asyncio.to_thread(importlib.import_module, "neo4j")
    from neo4j.exceptions import DriverError, Neo4jError

    try:
        address = GraphAddress.parse(graph_url)
        driver = address.open_driver()
    except GraphError as error:
        raise GraphUnavailable(error.message, retry_after=_RETRY_AFTER) from error
    try:
        async with asyncio.timeout(_PATIENCE), driver:
            # A query would be tried again for half a minute before it says that nobody is there.
            async with asyncio.timeout(_CONNECT_PATIENCE):
                await driver.verify_connectivity()
            groups = await find_duplicate_groups(driver, group_ids, similarity_threshold, database=address.database)
    except (DriverError, Neo4jError, OSError, TimeoutError) as error:
        log.warning("no duplicates from the graph: %s", type(error).__name__)
        raise GraphUnavailable(retry_after=_RETRY_AFTER) from error
    return [{"name": group.name, "count": group.count, "uuids": list(group.uuids)} for group in groups]
