"""Louvain's method: communities of a weighted graph, found in a time that has an end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

#: node → neighbour → number of edges between them
Neighbourhood = Mapping[str, Mapping[str, int]]

_Weights = list[dict[int, float]]
#: Less than this is no gain but rounding.
_LEAST_GAIN = 1e-9


def detect_communities(neighbours: Neighbourhood) -> list[list[str]]:
    """Partition nodes so that edges run within communities rather than between them.

    Equal graphs give equal communities. A node without edges is a community of its own, like in graphiti. It does not
    yield: large graphs belong in a thread.
    """
    order = sorted(neighbours)
    position = {node: index for index, node in enumerate(order)}
    weights: _Weights = [
        {
            position[other]: float(count)
            for other, count in neighbours[node].items()
            if other in position and other != node
        }
        for node in order
    ]
    members = [[node] for node in order]
    while True:
        labels = _move(weights)
        found = sorted(set(labels))
        if len(found) == len(labels):
            return members
        members, weights = _fold(members, weights, labels, found)


def _move(weights: _Weights) -> list[int]:
    """Move each node to the neighbouring community that gains most by it, until no move gains anything."""
    degree = [sum(row.values()) for row in weights]
    total = sum(degree)
    label = list(range(len(weights)))
    weight_of = list(degree)
    moved = total > 0
    while moved:
        moved = False
        for node, row in enumerate(weights):
            near: defaultdict[int, float] = defaultdict(float)
            for other, weight in row.items():
                if other != node:
                    near[label[other]] += weight
            own = label[node]
            weight_of[own] -= degree[node]
            best, most = own, near[own] - weight_of[own] * degree[node] / total
            for candidate in sorted(near):
                gain = near[candidate] - weight_of[candidate] * degree[node] / total
                if gain > most + _LEAST_GAIN:
                    best, most = candidate, gain
            weight_of[best] += degree[node]
            if best != own:
                label[node] = best
                moved = True
    return label


def _fold(
    members: list[list[str]], weights: _Weights, labels: list[int], found: list[int]
) -> tuple[list[list[str]], _Weights]:
    """Communities become the nodes of a smaller graph; edges within one become its edge to itself."""
    place = {label: index for index, label in enumerate(found)}
    folded_members: list[list[str]] = [[] for _ in found]
    folded: list[defaultdict[int, float]] = [defaultdict(float) for _ in found]
    for node, row in enumerate(weights):
        index = place[labels[node]]
        folded_members[index] += members[node]
        for other, weight in row.items():
            folded[index][place[labels[other]]] += weight
    return folded_members, [dict(row) for row in folded]


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
