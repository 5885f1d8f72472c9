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
