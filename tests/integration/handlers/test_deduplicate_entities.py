"""`deduplicate_entities` on a real graph."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.graph.address import GraphAddress
from gateway.graph.duplicates import find_duplicate_groups
from workers.handlers.add_episode import AddEpisodeHandler
from workers.handlers.deduplicate_entities import DeduplicateEntitiesHandler
from workers.handlers.payload import InvalidPayload
from workers.handlers.rebuild_communities import RebuildCommunitiesHandler

HANDLER = DeduplicateEntitiesHandler()

#: Three spellings of one firm, which three episodes wrote; the oldest has a summary, the newest a label more.
_SPELLINGS = """
MATCH (old:Entity {group_id: $group_id, name: 'Acme Corporation'})
MATCH (alice:Entity {group_id: $group_id, name: 'Alice'})
MATCH (episode:Episodic {group_id: $group_id})
CREATE (second:Entity {uuid: $group_id + '-2', name: 'ACME Corporation', group_id: $group_id, summary: 'Makes anvils.',
                       created_at: datetime(), name_embedding: old.name_embedding, industry: 'anvils'}),
       (third:Entity:Organization:Maker {uuid: $group_id + '-3', name: 'Acme Corporation.', group_id: $group_id,
                       summary: '', created_at: datetime(), name_embedding: old.name_embedding})
CREATE (alice)-[:RELATES_TO {uuid: 'f1' + $group_id, name: 'LEFT', fact: 'Alice left ACME Corporation',
        group_id: $group_id, episodes: ['e2'], created_at: datetime(), source_node_uuid: alice.uuid,
        target_node_uuid: second.uuid}]->(second),
       (alice)-[:RELATES_TO {uuid: 'f2' + $group_id, name: 'WORKS_AT', fact: 'alice works at acme corporation ',
        group_id: $group_id, episodes: ['e2'], created_at: datetime()}]->(second),
       (third)-[:RELATES_TO {uuid: 'f3' + $group_id, name: 'OWNS', fact: 'Acme owns ACME', group_id: $group_id,
        episodes: ['e3'], created_at: datetime()}]->(second),
       (episode)-[:MENTIONS {uuid: 'm2' + $group_id, group_id: $group_id, created_at: datetime()}]->(second),
       (:Community {uuid: 'c' + $group_id, name: 'Makers', group_id: $group_id, member_count: 1})
           -[:HAS_MEMBER {uuid: 'h' + $group_id, group_id: $group_id}]->(third)
"""


@pytest.fixture
async def spellings(bench: Any) -> str:
    """The uuid of the oldest."""
    await AddEpisodeHandler().process(bench.episode("Alice works at Acme Corporation."), bench.context)
    await RebuildCommunitiesHandler().process({"task_group_id": bench.group_id}, bench.context)
    await bench.driver.execute_query(_SPELLINGS, group_id=bench.group_id)
    bench.reports.progress.clear()
    entities = (await bench.read()).entities
    return str(next(entity["uuid"] for entity in entities if entity["name"] == "Acme Corporation"))


def payload(bench: Any, **more: Any) -> dict[str, Any]:
    return {"task_type": "deduplicate_entities", "task_id": "t1", "group_id": bench.group_id, **more}


async def test_a_dry_run_only_reports(bench: Any, spellings: str) -> None:
    before = await bench.read()
    await HANDLER.process(payload(bench, dry_run=True), bench.context)

    assert await bench.read() == before
    uuids = [spellings, f"{bench.group_id}-2", f"{bench.group_id}-3"]
    assert bench.reports.result == {
        "dry_run": True,
        "duplicates_found": 1,
        "entities_merged": 0,
        "duplicate_groups": [{"name": "Acme Corporation", "count": 3, "uuids": uuids}],
    }


async def test_the_gateways_dry_run_sees_the_same_without_graphiti(
    bench: Any, spellings: str, neo4j_server: str
) -> None:
    address = GraphAddress.parse(neo4j_server)
    async with address.open_driver() as driver:
        (found,) = await find_duplicate_groups(driver, [bench.group_id], 0.9, database=address.database)

    assert (found.name, found.count, found.uuids[0]) == ("Acme Corporation", 3, spellings)


async def test_duplicates_become_one_and_nothing_is_lost(bench: Any, spellings: str) -> None:
    await HANDLER.process(payload(bench, dry_run=False), bench.context)
    graph = await bench.read()

    assert graph.names == ["Acme Corporation", "Alice"]
    acme = graph.entities[0]
    assert acme["uuid"] == spellings
    assert sorted(acme["labels"]) == ["Entity", "Maker", "Organization"]
    assert acme["industry"] == "anvils"
    assert acme["summary"] == "Alice works at Acme Corporation\nMakes anvils."
    assert graph.triples == [
        ("Acme Corporation", "OWNS", "Acme Corporation"),
        ("Alice", "LEFT", "Acme Corporation"),
        ("Alice", "WORKS_AT", "Acme Corporation"),
    ]
    works = next(fact for fact in graph.facts if fact["name"] == "WORKS_AT")
    assert works["episodes"] == [graph.episodes[0]["uuid"], "e2"]
    assert graph.episodes[0]["mentions"] == ["Acme Corporation", "Alice"]
    members = {found["name"]: (found["members"], found["member_count"]) for found in graph.communities}
    assert members.pop("Makers") == (["Acme Corporation"], 1)
    assert list(members.values()) == [(["Acme Corporation", "Alice"], 2)]
    assert (bench.reports.result["duplicates_found"], bench.reports.result["entities_merged"]) == (1, 2)
    assert bench.reports.progress == [10, 20, 100]


async def test_the_ends_of_a_fact_are_readdressed(bench: Any, spellings: str) -> None:
    await HANDLER.process(payload(bench, dry_run=False), bench.context)
    result = await bench.driver.execute_query(
        "MATCH ()-[r:RELATES_TO {group_id: $group_id, name: 'LEFT'}]->() RETURN r.target_node_uuid AS target",
        group_id=bench.group_id,
    )

    assert [record["target"] for record in result.records] == [spellings]


async def test_again_there_is_nothing_to_do(bench: Any, spellings: str) -> None:
    await HANDLER.process(payload(bench, dry_run=False), bench.context)
    before = await bench.read()
    await HANDLER.process(payload(bench, dry_run=False), bench.context)

    assert await bench.read() == before
    assert bench.reports.result["entities_merged"] == 0


async def test_two_at_once_merge_once(bench: Any, spellings: str, rival: Any) -> None:
    await asyncio.gather(
        HANDLER.process(payload(bench, dry_run=False), bench.context),
        HANDLER.process(payload(bench, dry_run=False), rival.build(bench.reports, bench.reports)),
    )
    await rival.close()

    assert (await bench.read()).names == ["Acme Corporation", "Alice"]


async def test_without_saying_so_nothing_is_merged(bench: Any, spellings: str) -> None:
    before = await bench.read()
    await HANDLER.process(payload(bench), bench.context)

    assert await bench.read() == before


async def test_the_merged_graph_goes_on_growing(bench: Any, spellings: str) -> None:
    """graphiti reads what the merge left: the survivor is found, and known facts stay single."""
    await HANDLER.process(payload(bench, dry_run=False), bench.context)
    await AddEpisodeHandler().process(
        bench.episode("Alice works at Acme Corporation. Bob joined Acme Corporation."), bench.context
    )
    graph = await bench.read()

    assert graph.names == ["Acme Corporation", "Alice", "Bob"]
    assert [fact["name"] for fact in graph.facts].count("WORKS_AT") == 1


async def test_several_groups_each_for_itself(bench: Any, spellings: str) -> None:
    """The same names in another group are others; a group that is not named is left alone."""
    second, foreign = f"{bench.group_id}-second", f"{bench.group_id}-foreign"
    for group in (second, foreign):
        await bench.driver.execute_query(
            "UNWIND ['Wonder Works', 'wonder works', 'Acme Corporation'] AS name CREATE (:Entity {uuid: randomUUID(),"
            " name: name, group_id: $group, summary: '', created_at: datetime()})",
            group=group,
        )
    groups = [bench.group_id, second]
    await HANDLER.process(payload(bench, dry_run=True, group_ids=groups), bench.context)
    assert bench.reports.result["duplicates_found"] == 2
    await HANDLER.process(payload(bench, dry_run=False, group_ids=groups), bench.context)

    assert bench.reports.result["entities_merged"] == 3
    assert {group["name"].lower() for group in bench.reports.result["duplicate_groups"]} == {
        "acme corporation",
        "wonder works",
    }
    sizes = [len((await bench.read(group)).names) for group in (bench.group_id, second, foreign)]
    assert sizes == [2, 2, 3]


async def test_a_result_on_everything_names_nothing(bench: Any, spellings: str, monkeypatch: Any) -> None:
    """Members of an administrator's tenant may read it."""

    async def mine(_: Any) -> list[str]:
        return [bench.group_id]  # the server is shared with other tests: not truly every group

    monkeypatch.setattr("workers.handlers.deduplicate_entities.list_groups", mine)
    await HANDLER.process({**payload(bench, dry_run=False), "group_id": "global"}, bench.context)

    result = bench.reports.result
    assert (result["duplicates_found"], result["entities_merged"], result["duplicate_groups"]) == (1, 2, [])


@pytest.mark.parametrize("wrong", [[], "acme", [7], [""], {"a": 1}])
async def test_groups_that_are_none(bench: Any, wrong: Any) -> None:
    with pytest.raises(InvalidPayload):
        await HANDLER.process(payload(bench, group_ids=wrong), bench.context)
