"""A handler written against MemStack's own base and graphiti runs as it is."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from workers.handlers.loader import load_registry

BASE = """
    from abc import ABC, abstractmethod


    class TaskHandler(ABC):
        @property
        @abstractmethod
        def task_type(self) -> str: ...

        @property
        def timeout_seconds(self) -> int:
            return 600

        @abstractmethod
        async def process(self, payload, context): ...
"""

#: Uses every member of the context of §7, the way the legacy worker's handlers do.
HANDLER = """
    import enum
    from datetime import datetime, timezone

    from graphiti_core.helpers import semaphore_gather
    from graphiti_core.nodes import EpisodeType
    from graphiti_core.utils.maintenance.community_operations import (
        build_communities, remove_communities, update_community,
    )

    from legacy_memstack.base import TaskHandler


    class ProcessingStatus(enum.Enum):
        PROCESSING = "PROCESSING"
        COMPLETED = "COMPLETED"


    class DigestHandler(TaskHandler):
        @property
        def task_type(self):
            return "digest"

        @property
        def timeout_seconds(self):
            return 120

        async def process(self, payload, context):
            service = context
            task_id, group_id, uuid = payload["task_id"], payload["group_id"], payload["uuid"]
            await service._update_memory_status(payload["memory_id"], ProcessingStatus.PROCESSING)
            types = edges = pairs = None
            if service._schema_loader:
                types, edges, pairs = await service._schema_loader(payload["project_id"])
            await service._update_task_log(task_id, "PROCESSING", progress=30, message="Extracting...")
            client = service._graphiti_client
            added = await client.add_episode(
                name=payload["name"],
                episode_body=payload["content"],
                source_description="text",
                source=EpisodeType("text"),
                group_id=group_id,
                reference_time=datetime.now(timezone.utc),
                update_communities=False,
                entity_types=types,
                edge_types=edges,
                edge_type_map=pairs,
                uuid=uuid,
            )
            await service._sync_schema_from_graph_result(added.nodes, added.edges, payload["project_id"])
            await client.driver.execute_query(
                "MATCH (ep:Episodic {uuid: $uuid}) SET ep.status = 'Synced', ep.tenant_id = $tenant",
                uuid=uuid,
                tenant=payload["tenant_id"],
            )
            await remove_communities(client.driver, [group_id])
            communities, members = await build_communities(
                driver=client.driver, llm_client=client.llm_client, group_ids=[group_id]
            )
            for community in communities:
                await community.generate_name_embedding(client.embedder)
                await community.save(client.driver)
            for member in members:
                await member.save(client.driver)
            await semaphore_gather(
                *[update_community(client.driver, client.llm_client, client.embedder, node) for node in added.nodes],
                max_coroutines=client.max_coroutines,
            )
            rebuild = await service.rebuild_communities(task_group_id=group_id)
            await service._update_task_log(
                task_id, "PROCESSING", progress=100, result={"rebuild": rebuild}, message="Done"
            )
            await service._update_memory_status(payload["memory_id"], ProcessingStatus.COMPLETED)
"""


@pytest.fixture
def legacy_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that can be imported, in a package that knows nothing of taskgate."""
    package = tmp_path / "legacy_memstack"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "base.py").write_text(textwrap.dedent(BASE))
    (package / "digest.py").write_text(textwrap.dedent(HANDLER))
    monkeypatch.syspath_prepend(str(tmp_path))
    return "legacy_memstack.digest"


async def test_a_legacy_handler_runs_unmodified(bench: Any, legacy_package: str) -> None:
    handler = load_registry([legacy_package]).get_handler("digest")
    assert handler is not None
    assert handler.timeout_seconds == 120
    # Two facts join Alice and Bob, which graphiti's own community detection would never end on.
    payload = bench.episode("Alice met Bob. Alice knows Bob. Carol works at Acme Corp.", memory_id="m1")
    await handler.process(payload, bench.context)
    graph = await bench.read()

    assert graph.names == ["Acme Corp", "Alice", "Bob", "Carol"]
    assert graph.triples == [("Alice", "KNOWS", "Bob"), ("Alice", "MET", "Bob"), ("Carol", "WORKS_AT", "Acme Corp")]
    assert [(found["uuid"], found["status"], found["tenant_id"]) for found in graph.episodes] == [
        (payload["uuid"], "Synced", "acme")
    ]
    assert sorted(found["members"] for found in graph.communities) == [["Acme Corp", "Carol"], ["Alice", "Bob"]]
    assert bench.reports.progress == [30, 100]
    assert bench.reports.result == {"rebuild": "rebuild-1"}
    assert await bench.database.fetchval(
        "SELECT count(*) FROM edge_types WHERE project_id = $1 AND source = 'generated'", bench.group_id
    )
