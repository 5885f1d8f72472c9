"""What a dry run of deduplication finds: read from the graph at once, without a task."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from gateway.errors import GraphUnavailable

if TYPE_CHECKING:
    from gateway.bootstrap import Gateway

log = logging.getLogger(__name__)

_RETRY_AFTER = 5
_PATIENCE = 60.0


async def find_duplicates(gateway: Gateway, group_id: str, similarity_threshold: float) -> list[dict[str, Any]]:
    """Groups of entities whose names are near-identical: `{name, count, uuids}`. Raises `GraphUnavailable`."""
    if gateway.settings.graph_url is None:
        raise GraphUnavailable("The knowledge graph is not configured.", retry_after=_RETRY_AFTER)
    raise NotImplementedError
