"""Label propagation that ends: communities of a weighted graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

#: node → neighbour → number of edges between them
Neighbourhood = Mapping[str, Mapping[str, int]]

#: Far more rounds than any graph was seen to need; what is left after them is a partition like any other.
MAX_ROUNDS = 50


def detect_communities(neighbours: Neighbourhood) -> list[list[str]]:
    """Partition nodes: each takes the label that most edges around it carry, one node after the other.

    Ties go to the label it has, else to the smallest, so that equal graphs give equal communities. A node without
    edges is a community of its own, like in graphiti. Runs in a thread for large graphs: it does not yield.
    """
    order = sorted(neighbours)
    label = {node: position for position, node in enumerate(order)}
    for _ in range(MAX_ROUNDS):
        changed = False
        for node in order:
            weights: defaultdict[int, int] = defaultdict(int)
            for other, count in neighbours[node].items():
                if other != node and other in label:
                    weights[label[other]] += count
            if not weights:
                continue
            heaviest = max(weights.values())
            if weights.get(label[node]) == heaviest:
                continue
            label[node] = min(candidate for candidate, weight in weights.items() if weight == heaviest)
            changed = True
        if not changed:
            break
    communities: defaultdict[int, list[str]] = defaultdict(list)
    for node in order:
        communities[label[node]].append(node)
    return list(communities.values())


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
