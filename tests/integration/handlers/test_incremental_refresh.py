"""`incremental_refresh` on a real graph."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from workers.handlers.add_episode import AddEpisodeHandler
from workers.handlers.incremental_refresh import IncrementalRefreshHandler

HANDLER = IncrementalRefreshHandler()


async def fill(bench: Any, *texts: str, group_id: str | None = None) -> list[str]:
    uuids = []
    for text in texts:
        payload = bench.episode(text, group_id=group_id or bench.group_id)
        uuids.append(payload["uuid"])
        await AddEpisodeHandler().process(payload, bench.context)
    bench.reports.progress.clear()
    return uuids


def payload(bench: Any, **more: Any) -> dict[str, Any]:
    return {"task_type": "incremental_refresh", "task_id": "t1", "group_id": bench.group_id, **more}


async def test_the_last_episodes_are_extracted_again_without_doubling(bench: Any) -> None:
    await fill(bench, "Alice works at Acme.", "Bob knows Alice.")
    before = await bench.read()
    await HANDLER.process(payload(bench), bench.context)
    after = await bench.read()

    assert (after.names, after.triples) == (before.names, before.triples)
    assert after.episodes == before.episodes
    assert bench.reports.result == {"episodes_processed": 2, "episodes_missing": 0, "rebuild_task_id": None}
    assert bench.reports.progress == [10, 20, 55, 100]


async def test_what_was_lost_comes_back(bench: Any) -> None:
    await fill(bench, "Alice works at Acme.")
    await bench.driver.execute_query(
        "MATCH (n:Entity {group_id: $group_id, name: 'Acme'}) DETACH DELETE n", group_id=bench.group_id
    )
    await HANDLER.process(payload(bench), bench.context)

    assert (await bench.read()).triples == [("Alice", "WORKS_AT", "Acme")]


async def test_only_the_episodes_that_are_named(bench: Any) -> None:
    first, _ = await fill(bench, "Alice works at Acme.", "Bob knows Alice.")
    await bench.driver.execute_query("MATCH (n:Entity {group_id: $group_id}) DETACH DELETE n", group_id=bench.group_id)
    await HANDLER.process(payload(bench, episode_uuids=[first, str(uuid4())]), bench.context)

    assert (await bench.read()).names == ["Acme", "Alice"]
    assert bench.reports.result == {"episodes_processed": 1, "episodes_missing": 1, "rebuild_task_id": None}


async def test_episodes_of_other_groups_are_not_touched(bench: Any) -> None:
    (foreign,) = await fill(bench, "Mallory works at Evil.", group_id=f"{bench.group_id}-other")
    before = await bench.read(f"{bench.group_id}-other")
    await HANDLER.process(payload(bench, episode_uuids=[foreign], tenant_id="initech"), bench.context)

    assert await bench.read(f"{bench.group_id}-other") == before
    assert bench.reports.result["episodes_processed"] == 0


async def test_a_rebuild_is_submitted_when_asked_for(bench: Any) -> None:
    await HANDLER.process(payload(bench, rebuild_communities=True), bench.context)

    assert bench.reports.rebuilds == [bench.group_id]
    assert bench.reports.result["rebuild_task_id"] == "rebuild-1"


async def test_several_groups_keep_their_owners_and_schemas(bench: Any) -> None:
    """Each episode stays whose it is, and is extracted with its own project's schema."""
    project, own = f"{bench.group_id}-project", bench.group_id
    await fill(bench, "Alice works at Acme.", group_id=own)
    await bench.driver.execute_query(
        "MATCH (e:Episodic {group_id: $group}) SET e.project_id = NULL, e.user_id = 'ann'", group=own
    )
    in_project = bench.episode("Bob knows Carol.", group_id=project, project_id=project, user_id="bob")
    await AddEpisodeHandler().process(in_project, bench.context)
    foreign = f"{bench.group_id}-foreign"
    await fill(bench, "Mallory works at Evil.", group_id=foreign)
    before = await bench.read(foreign)
    # What `project_id` and the entities were told before must come from the episode itself.
    await bench.driver.execute_query("MATCH (n:Entity {group_id: $group}) DETACH DELETE n", group=project)
    wide = payload(bench, group_ids=[own, project], tenant_id="acme", project_id=None, user_id="refresher")
    await HANDLER.process(wide, bench.context)

    assert bench.reports.result["episodes_processed"] == 2
    result = await bench.driver.execute_query(
        "MATCH (n:Episodic|Entity) WHERE n.group_id IN $groups"
        " RETURN DISTINCT n.group_id AS g, n.tenant_id AS t, n.project_id AS p, n.user_id AS u",
        groups=[own, project],
    )
    found = {(r["g"], r["t"], r["p"], r["u"]) for r in result.records if r["g"] == project}
    assert found == {(project, "acme", project, "bob")}
    episode = await bench.driver.execute_query("MATCH (e:Episodic {group_id: $group}) RETURN e.user_id AS u", group=own)
    assert [record["u"] for record in episode.records] == ["ann"]
    assert await bench.read(foreign) == before


async def test_a_refresh_of_everything_leaves_each_episode_its_tenant(bench: Any) -> None:
    (uuid,) = await fill(bench, "Alice works at Acme.")
    everything = {**payload(bench, episode_uuids=[uuid], tenant_id="administrators"), "group_id": "global"}
    await HANDLER.process(everything, bench.context)

    result = await bench.driver.execute_query(
        "MATCH (n:Episodic|Entity {group_id: $group}) RETURN DISTINCT n.tenant_id AS t, n.project_id AS p",
        group=bench.group_id,
    )
    assert [(record["t"], record["p"]) for record in result.records] == [("acme", bench.group_id)]
