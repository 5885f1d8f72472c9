"""Louvain's method: communities of a weighted graph, found in a time that has an end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: node → neighbour → number of edges between them
Neighbourhood = Mapping[str, Mapping[str, int]]

_SEED = 0


def detect_communities(neighbours: Neighbourhood) -> list[list[str]]:
    """Partition nodes so that edges run within communities rather than between them.

    Equal graphs give equal communities. A node without edges is a community of its own, like in graphiti. It does not
    yield: large graphs belong in a thread.
    """
    # Here, because workers load the handlers without ever rebuilding communities.
    import networkx

    order = sorted(neighbours)
    # Numbers, because sets of strings are not walked in the same order by every process.
    position = {node: index for index, node in enumerate(order)}
    graph: networkx.Graph[int] = networkx.Graph()
    graph.add_nodes_from(range(len(order)))
    graph.add_weighted_edges_from(
        (position[node], position[other], count)
        for node in order
        for other, count in sorted(neighbours[node].items())
        if other in position and other != node
    )
    found = networkx.community.louvain_communities(graph, seed=_SEED)
    return sorted([order[index] for index in sorted(members)] for members in found)


def replace_graphitis_own() -> None:
    """Put `detect_communities` in the place of graphiti's `label_propagation`.

    graphiti 0.31 moves all nodes at the same moment, and so swaps the labels of two nodes that two edges join for ever:
    its loop never ends and never yields. A handler written for the legacy worker calls graphiti's `build_communities`,
    and would hang its whole worker process.
    """
    from graphiti_core.driver.neo4j.operations import graph_ops
    from graphiti_core.utils.maintenance import community_operations

    vars(community_operations)["label_propagation"] = _as_graphiti_calls_it
    vars(graph_ops)["label_propagation"] = _as_graphiti_calls_it


def _as_graphiti_calls_it(projection: Mapping[str, list[Any]]) -> list[list[str]]:
    return detect_communities(
        {node: {other.node_uuid: other.edge_count for other in others} for node, others in projection.items()}
    )
