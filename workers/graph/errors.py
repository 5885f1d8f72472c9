"""What can go wrong between a handler and the graph, as a branch of taskgate's error tree."""

from __future__ import annotations

from gateway.graph.errors import GraphError


class EpisodeInOtherGroup(GraphError):
    """An episode with this id exists in another group; it is left alone."""

    code = "episode_in_other_group"


class ModelsNotConfigured(GraphError):
    """No language model or embedder is configured: set TASKGATE_LLM_URL and TASKGATE_EMBEDDER_URL."""

    code = "models_not_configured"


class GraphLibrariesMissing(GraphError):
    """The libraries of the knowledge graph are not installed: pip install 'taskgate[worker]'."""

    code = "graph_libraries_missing"


class GroupBusy(GraphError):
    """Another task of the group works on its graph."""

    code = "group_busy"
