"""`add_episode` on a real graph: what it writes, and that doing it again writes nothing twice."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from workers.context import ContextFactory
from workers.graph.errors import EpisodeInOtherGroup
from workers.handlers.add_episode import AddEpisodeHandler

TEXT = "Alice Johnson works at Acme Corp and lives in Paris. Carol Danvers leads Acme Corp."
HANDLER = AddEpisodeHandler()


async def test_episode_entities_and_facts_are_in_the_graph(bench: Any) -> None:
    payload = bench.episode(TEXT)
    await HANDLER.process(payload, bench.context)
    graph = await bench.read()

    assert graph.names == ["Acme Corp", "Alice Johnson", "Carol Danvers", "Paris"]
    assert graph.triples == [
        ("Alice Johnson", "LIVES_IN", "Paris"),
        ("Alice Johnson", "WORKS_AT", "Acme Corp"),
        ("Carol Danvers", "LEADS", "Acme Corp"),
    ]
    (episode,) = graph.episodes
    assert (episode["uuid"], episode["name"], episode["content"]) == (payload["uuid"], "An episode", TEXT)
    assert episode["mentions"] == graph.names
    assert all(fact["episodes"] == [payload["uuid"]] for fact in graph.facts)
    assert bench.reports.progress == [10, 20, 30, 50, 75, 100]


async def test_owner_and_status_are_set(bench: Any) -> None:
    await HANDLER.process(bench.episode(TEXT), bench.context)
    graph = await bench.read()

    expected = ("acme", bench.group_id, "u1", "Synced")
    for node in [*graph.entities, *graph.episodes]:
        assert tuple(node[key] for key in ("tenant_id", "project_id", "user_id", "status")) == expected


async def test_a_second_attempt_writes_nothing_twice(bench: Any) -> None:
    payload = bench.episode(TEXT)
    await HANDLER.process(payload, bench.context)
    before = await bench.read()
    await HANDLER.process(payload, bench.context)

    assert await bench.read() == before


async def test_graphiti_itself_repeated_writes_nothing_twice(bench: Any) -> None:
    """As a legacy handler repeats it, which knows nothing of earlier attempts."""
    payload = bench.episode(TEXT)
    await HANDLER.process(payload, bench.context)
    before = await bench.read()
    client = bench.graph.client
    for _ in range(2):
        await client.add_episode(
            name=payload["name"],
            episode_body=TEXT,
            source_description="test",
            reference_time=before.episodes[0]["valid_at"].to_native(),
            source=await _text_source(),
            group_id=bench.group_id,
            uuid=payload["uuid"],
        )
    after = await bench.read()

    assert (after.names, after.triples) == (before.names, before.triples)
    assert after.episodes[0]["mentions"] == before.episodes[0]["mentions"]
    assert after.episodes[0]["tenant_id"] == "acme"
    assert len(after.episodes) == 1


async def _text_source() -> Any:
    from graphiti_core.nodes import EpisodeType

    return EpisodeType.text


async def test_an_attempt_after_a_crash_in_the_middle_completes_the_first(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = bench.episode(TEXT)

    async def crash(*_: Any, **__: Any) -> None:
        raise ConnectionResetError("the worker died here")

    with monkeypatch.context() as patch:
        patch.setattr("graphiti_core.graphiti.add_nodes_and_edges_bulk", crash)
        with pytest.raises(ConnectionResetError):
            await HANDLER.process(payload, bench.context)
    between = await bench.read()
    assert [(episode["status"], episode["mentions"]) for episode in between.episodes] == [("Processing", [])]
    assert between.entities == []

    await HANDLER.process(payload, bench.context)
    after = await bench.read()
    assert [episode["status"] for episode in after.episodes] == ["Synced"]
    assert len(after.facts) == 3


async def test_entities_of_another_episode_are_met_again(bench: Any) -> None:
    await HANDLER.process(bench.episode("Alice works at Acme."), bench.context)
    await HANDLER.process(bench.episode("Bob knows Alice. Alice works at Acme."), bench.context)
    graph = await bench.read()

    assert graph.names == ["Acme", "Alice", "Bob"]
    assert [len(fact["episodes"]) for fact in graph.facts if fact["name"] == "WORKS_AT"] == [2]


async def test_new_types_are_added_to_the_projects_schema(bench: Any) -> None:
    await HANDLER.process(bench.episode(TEXT), bench.context)
    await HANDLER.process(bench.episode("Dave joined Acme Corp."), bench.context)
    names = await bench.database.fetch(
        "SELECT name, source FROM entity_types WHERE project_id = $1 ORDER BY name", bench.group_id
    )
    maps = await bench.database.fetch(
        "SELECT source_type, edge_type, target_type FROM edge_type_maps WHERE project_id = $1 ORDER BY edge_type",
        bench.group_id,
    )

    assert [tuple(row) for row in names] == [
        ("Location", "generated"),
        ("Organization", "generated"),
        ("Person", "generated"),
    ]
    assert ("Person", "WORKS_AT", "Organization") in [tuple(row) for row in maps]
    assert len({tuple(row) for row in maps}) == len(maps)


async def test_a_type_that_the_project_drew_up_becomes_a_label(bench: Any) -> None:
    await bench.database.execute(
        "INSERT INTO entity_types (id, project_id, name, schema) VALUES ($1, $2, 'Rocket', '{\"email\": \"String\"}')",
        str(uuid4()),
        bench.group_id,
    )
    await HANDLER.process(bench.episode("Alice builds the rocket Falcon."), bench.context)

    assert {entity["name"]: sorted(entity["labels"]) for entity in (await bench.read()).entities} == {
        "Alice": ["Entity"],
        "Falcon": ["Entity", "Rocket"],
    }


async def test_a_memory_follows_its_episode(bench: Any, memory_id: str) -> None:
    await HANDLER.process(bench.episode(TEXT, uuid=memory_id, memory_id=memory_id), bench.context)

    assert await _status(bench, memory_id) == "COMPLETED"


async def test_a_memory_of_a_cancelled_task_is_failed(bench: Any, memory_id: str) -> None:
    payload = bench.episode(TEXT, uuid=memory_id, memory_id=memory_id)
    async with bench.driver.exclusive(bench.group_id):
        task = asyncio.create_task(HANDLER.process(payload, bench.context))
        await bench.reports.reached(30)
        assert await _status(bench, memory_id) == "PROCESSING"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await _status(bench, memory_id) == "FAILED"
    assert (await bench.read()).entities == []


@pytest.fixture
async def memory_id(bench: Any) -> str:
    """A memory that waits for its episode."""
    await bench.database.execute("INSERT INTO users (id, email, name) VALUES ($1, $1, 'U')", bench.group_id)
    await bench.database.execute("INSERT INTO tenants (id, name, owner_id) VALUES ($1, 'T', $1)", bench.group_id)
    await bench.database.execute(
        "INSERT INTO projects (id, tenant_id, name, owner_id) VALUES ($1, $1, 'P', $1)", bench.group_id
    )
    memory_id = str(uuid4())
    await bench.database.execute(
        "INSERT INTO memories (id, project_id, title, content, author_id) VALUES ($1, $2, 'T', 'C', $2)",
        memory_id,
        bench.group_id,
    )
    return memory_id


async def _status(bench: Any, memory_id: str) -> Any:
    return await bench.database.fetchval("SELECT processing_status FROM memories WHERE id = $1", memory_id)


async def test_an_episode_of_another_group_is_left_alone(bench: Any) -> None:
    payload = bench.episode(TEXT)
    await HANDLER.process(payload, bench.context)
    before = await bench.read()
    with pytest.raises(EpisodeInOtherGroup):
        await HANDLER.process({**payload, "group_id": f"{bench.group_id}-other"}, bench.context)

    assert await bench.read() == before


async def test_json_and_message_episodes(bench: Any) -> None:
    await HANDLER.process(
        bench.episode('{"user": "Jordan Lee", "company": "Acme"}', episode_type="json"), bench.context
    )
    await HANDLER.process(bench.episode("Nisha: I work at Globex.", episode_type="message"), bench.context)

    assert (await bench.read()).triples == [("Jordan Lee", "HAS_COMPANY", "Acme"), ("Nisha", "WORK_AT", "Globex")]


@pytest.mark.parametrize("content", ["", "nothing to see here", "«»\u2028\U0001f600 'Alice' \\\"{}<TEXT>"])
async def test_odd_content_is_no_failure(bench: Any, content: str) -> None:
    await HANDLER.process(bench.episode(content), bench.context)

    assert [episode["status"] for episode in (await bench.read()).episodes] == ["Synced"]


async def test_two_workers_write_one_entity(bench: Any, rival: ContextFactory) -> None:
    """Both backends may work on one group: the graph itself keeps them apart."""
    texts = [f"Alice met Person{number}." for number in range(6)]
    contexts = [bench.context, rival.build(bench.reports, bench.reports)]
    await asyncio.gather(
        *[HANDLER.process(bench.episode(text), contexts[number % 2]) for number, text in enumerate(texts)]
    )
    await rival.close()

    assert (await bench.read()).names.count("Alice") == 1
