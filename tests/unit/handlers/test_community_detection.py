"""Communities of a graph, found by Louvain's method."""

from __future__ import annotations

from types import SimpleNamespace

from graphiti_core.utils.maintenance import community_operations

from workers.graph.community_detection import detect_communities, replace_graphitis_own


def clique(*nodes: str) -> dict[str, dict[str, int]]:
    return {node: {other: 1 for other in nodes if other != node} for node in nodes}


def test_two_cliques_with_a_bridge_are_two_communities() -> None:
    graph = {**clique("a", "b", "c", "d"), **clique("p", "q", "r", "s")}
    graph["d"]["p"] = graph["p"]["d"] = 1

    assert sorted(map(sorted, detect_communities(graph))) == [["a", "b", "c", "d"], ["p", "q", "r", "s"]]


def test_a_pair_with_two_edges_ends() -> None:
    """graphiti's own algorithm swaps the two labels for ever."""
    assert detect_communities({"a": {"b": 2}, "b": {"a": 2}}) == [["a", "b"]]


def test_nodes_without_edges_and_loops_stand_alone() -> None:
    assert detect_communities({"a": {}, "b": {"b": 3}, "c": {"unknown": 1}}) == [["a"], ["b"], ["c"]]
    assert detect_communities({}) == []


def test_order_of_nodes_does_not_matter() -> None:
    graph = {**clique("a", "b", "c"), **clique("x", "y")}

    assert detect_communities(graph) == detect_communities(dict(reversed(graph.items())))


def test_graphitis_callers_get_it() -> None:
    replace_graphitis_own()
    pair = {
        "a": [SimpleNamespace(node_uuid="b", edge_count=2)],
        "b": [SimpleNamespace(node_uuid="a", edge_count=2)],
    }

    assert community_operations.label_propagation(pair) == [["a", "b"]]
