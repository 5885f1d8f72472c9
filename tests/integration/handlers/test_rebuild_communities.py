"""`rebuild_communities` on a real graph."""

from __future__ import annotations

from typing import Any

from workers.handlers.add_episode import AddEpisodeHandler
from workers.handlers.rebuild_communities import RebuildCommunitiesHandler

HANDLER = RebuildCommunitiesHandler()
FRIENDS = "Alice met Bob. Bob met Carol. Carol met Alice. Alice knows Bob."
TEAM = "Xavier hired Yvonne. Yvonne hired Zoe. Zoe hired Xavier."


async def fill(bench: Any, *texts: str, group_id: str | None = None) -> None:
    for text in texts:
        payload = bench.episode(text, group_id=group_id or bench.group_id)
        await AddEpisodeHandler().process(payload, bench.context)
    bench.reports.progress.clear()


def payload(group_id: str) -> dict[str, Any]:
    return {"task_type": "rebuild_communities", "task_id": "t1", "task_group_id": group_id}


async def test_communities_are_found_named_and_counted(bench: Any) -> None:
    await fill(bench, FRIENDS, TEAM)
    await HANDLER.process(payload(bench.group_id), bench.context)
    communities = (await bench.read()).communities

    assert sorted(community["members"] for community in communities) == [
        ["Alice", "Bob", "Carol"],
        ["Xavier", "Yvonne", "Zoe"],
    ]
    assert [(found["member_count"], found["project_id"]) for found in communities] == [(3, bench.group_id)] * 2
    assert all("Alice" in found["name"] or "Xavier" in found["name"] for found in communities)
    assert bench.reports.progress == [10, 30, 50, 75, 90, 100]
    assert bench.reports.result == {"communities_count": 2, "edges_count": 6}


async def test_names_are_embedded(bench: Any) -> None:
    await fill(bench, FRIENDS)
    await HANDLER.process(payload(bench.group_id), bench.context)
    result = await bench.driver.execute_query(
        "MATCH (c:Community {group_id: $group_id}) RETURN size(c.name_embedding) AS size", group_id=bench.group_id
    )

    assert [record["size"] for record in result.records] == [1024]


async def test_a_second_rebuild_replaces_the_first(bench: Any) -> None:
    await fill(bench, FRIENDS)
    await HANDLER.process(payload(bench.group_id), bench.context)
    (first,) = (await bench.read()).communities
    await HANDLER.process(payload(bench.group_id), bench.context)
    (second,) = (await bench.read()).communities

    assert (second["members"], second["uuid"] != first["uuid"]) == (first["members"], True)


async def test_an_empty_group(bench: Any) -> None:
    await HANDLER.process(payload(bench.group_id), bench.context)

    assert bench.reports.result == {"communities_count": 0, "edges_count": 0}


async def test_other_groups_keep_theirs(bench: Any) -> None:
    other = f"{bench.group_id}-other"
    await fill(bench, FRIENDS)
    await fill(bench, TEAM, group_id=other)
    await HANDLER.process(payload(other), bench.context)
    before = (await bench.read(other)).communities
    await HANDLER.process(payload(bench.group_id), bench.context)

    assert (await bench.read(other)).communities == before


async def test_global_means_every_group(bench: Any, monkeypatch: Any) -> None:
    other = f"{bench.group_id}-other"
    await fill(bench, FRIENDS)
    await fill(bench, TEAM, group_id=other)

    async def mine(_: Any) -> list[str]:
        return [bench.group_id, other]  # the server is shared with other tests: not truly every group

    monkeypatch.setattr("workers.handlers.rebuild_communities.communities.list_groups", mine)
    await HANDLER.process(payload("global"), bench.context)

    assert len((await bench.read()).communities) == len((await bench.read(other)).communities) == 1
    assert bench.reports.result == {"communities_count": 2, "edges_count": 6}
    assert bench.reports.progress == sorted(bench.reports.progress)


async def test_a_new_episode_joins_its_community(bench: Any) -> None:
    await fill(bench, FRIENDS)
    await HANDLER.process(payload(bench.group_id), bench.context)
    await fill(bench, "Dave knows Alice.")
    (community,) = (await bench.read()).communities

    assert community["members"] == ["Alice", "Bob", "Carol", "Dave"]
    assert (community["member_count"], community["project_id"], community["tenant_id"]) == (4, bench.group_id, "acme")
    assert "Dave knows Alice" in community["summary"]


async def test_several_groups(bench: Any) -> None:
    second, foreign = f"{bench.group_id}-second", f"{bench.group_id}-foreign"
    await fill(bench, FRIENDS)
    await fill(bench, TEAM, group_id=second)
    await fill(bench, TEAM, group_id=foreign)
    await HANDLER.process({**payload(bench.group_id), "group_ids": [bench.group_id, second]}, bench.context)

    found = [len((await bench.read(group)).communities) for group in (bench.group_id, second, foreign)]
    assert found == [1, 1, 0]
    assert bench.reports.result == {"communities_count": 2, "edges_count": 6}
