"""Tasks that take turns: of one group, whatever their backend, one at a time changes the graph."""

from __future__ import annotations

from typing import Final

TYPES_IN_TURN: Final = frozenset(
    {
        "add_episode",
        "deduplicate_entities",
        "episode.deduplicate",
        "episode.update_communities",
        "incremental_refresh",
        "rebuild_communities",
    }
)
