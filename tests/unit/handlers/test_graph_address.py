"""`TASKGATE_GRAPH_URL` taken apart."""

from __future__ import annotations

import sys

import pytest

from gateway.graph.address import GraphAddress
from gateway.graph.errors import GraphAddressInvalid, GraphNotConfigured
from gateway.settings import Settings
from workers.graph.connection import GraphConnection
from workers.graph.errors import GraphLibrariesMissing, ModelsNotConfigured


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("bolt://127.0.0.1:7687", GraphAddress("bolt://127.0.0.1:7687")),
        ("bolt://neo4j:s3%40cret@host:7687", GraphAddress("bolt://host:7687", "neo4j", "s3@cret")),
        ("neo4j+s://u:p@host/memories", GraphAddress("neo4j+s://host", "u", "p", "memories")),
        ("bolt://[::1]:7687/", GraphAddress("bolt://[::1]:7687")),
    ],
)
def test_parts(url: str, expected: GraphAddress) -> None:
    assert GraphAddress.parse(url) == expected


@pytest.mark.parametrize("url", ["http://host:7474", "host:7687", "bolt://", "nonsense"])
def test_no_neo4j_address(url: str) -> None:
    with pytest.raises(GraphAddressInvalid):
        GraphAddress.parse(url)


def test_the_password_is_not_shown() -> None:
    assert "hush" not in repr(GraphAddress.parse("bolt://neo4j:hush@host:7687"))


@pytest.mark.parametrize(("module", "said"), [(None, "TASKGATE_LLM_URL"), ("nowhere", "nowhere")])
async def test_a_worker_without_a_language_model_says_what_is_missing(module: str | None, said: str) -> None:
    settings = Settings(graph_url="bolt://127.0.0.1:1", llm_url=None, embedder_url=None, models_module=module)
    with pytest.raises(ModelsNotConfigured, match=said):
        await GraphConnection(settings).warm_up()


async def test_a_worker_without_graphiti_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "graphiti_core"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "workers.graph.graphiti_client", raising=False)
    monkeypatch.setitem(sys.modules, "graphiti_core", None)
    with pytest.raises(GraphLibrariesMissing, match=r"taskgate\[worker\]"):
        await GraphConnection(Settings(graph_url="bolt://127.0.0.1:1")).warm_up()


async def test_a_worker_without_a_graph_begins_and_ends() -> None:
    connection = GraphConnection(Settings(graph_url=None))
    await connection.warm_up()
    with pytest.raises(GraphNotConfigured, match="TASKGATE_GRAPH_URL"):
        _ = connection.client
    await connection.close()
