"""What can go wrong with the knowledge graph, as a branch of taskgate's error tree."""

from __future__ import annotations

from backends.errors import TaskgateError


class GraphError(TaskgateError):
    """The knowledge graph could not do what was asked."""

    code = "graph_error"


class GraphNotConfigured(GraphError):
    """No knowledge graph is configured: set TASKGATE_GRAPH_URL (bolt://[user:password@]host:port)."""

    code = "graph_not_configured"


class GraphAddressInvalid(GraphError):
    """TASKGATE_GRAPH_URL is not a Neo4j address (bolt://[user:password@]host:port[/database])."""

    code = "graph_address_invalid"
