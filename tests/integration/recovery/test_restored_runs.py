"""DAG runs that went on after the backup: what is over stays over, and nothing of the rest runs unasked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.dag_probes import FAILURES, GATES, RAN
from contracts.dag_world import Dags, DagWorld, nodes, statuses
from contracts.operator import Operator
from contracts.restoring import RestoredDatabase, back_up, restored_database, stop_workers
from contracts.world import PATIENCE, Servers
from workers.testing.waiting import eventually

TEXT = """
params: {mark: {type: string}}
nodes:
  a: {type: dag_echo, input: {mark: "${ params.mark + '-a' }", value: 1}}
  b: {type: dag_echo, input: {mark: "${ params.mark + '-b' }", value: "${ nodes.a.result.value + 1 }"}}
  c: {type: dag_echo, input: {mark: "${ params.mark + '-c' }", value: "${ nodes.b.result.value + 1 }"}}
  d: {type: dag_echo, input: {mark: "${ params.mark + '-d' }", value: "${ nodes.c.result.value + 1 }"}}
outputs: {sum: "${ nodes.d.result.value }"}
"""


@pytest.fixture
def servers_without_redis(fresh_servers: Servers) -> Servers:
    return replace(fresh_servers, redis_url=None)


async def listed(database: RestoredDatabase) -> dict[str, Any]:
    """What a person has to decide, by task id."""
    return {row["task_id"]: row for row in await database.json_of("list")}


def is_held(rows: dict[str, Any], task_id: str) -> bool:
    """Its run has come to it, and a person may start it."""
    return task_id in rows and rows[task_id]["is_known"] and rows[task_id]["can_start"]


async def test_runs_that_went_on_in_the_gap(servers_without_redis: Servers, tmp_path: Path) -> None:
    servers = servers_without_redis
    for gate in ("over-b", "going-b", "going-d", "gap-b"):
        GATES[gate] = asyncio.Event()
    async with DagWorld("live", servers, tmp_path).running() as world:
        home = await world.people.household()
        dags = Dags(world, home)
        await dags.apply("test", TEXT)
        over, going = [await dags.start("test", mark=mark) for mark in ("over", "going")]
        for run_id in (over, going):
            await dags.until(run_id, "b", "running")
        await back_up(servers, tmp_path / "backup")

        GATES["over-b"].set()
        assert (await dags.ended(over))["result"] == {"sum": 4}
        GATES["going-b"].set()
        before = nodes(await dags.state(going)) | {"d": await dags.until(going, "d", "running")}
        before["c"] = nodes(await dags.state(going))["c"]
        gap = await dags.start("test", mark="gap")
        gap_b = (await dags.until(gap, "b", "running"))["task_id"]
        await stop_workers(world)
    ran = RAN[home.tenant_id]
    assert sorted(ran) == ["gap-a", "going-a", "going-b", "going-c", "over-a", "over-b", "over-c", "over-d"]
    for gate in ("going-d", "gap-b"):
        GATES[gate].set()

    async with restored_database(servers, tmp_path / "backup") as database:
        report = await database.recover()
        assert report["verdicts"] == {"completed": 2, "failed": 0, "continues": 0, "undecided": 2}
        assert report["ended_unknown"] == 4
        b, c, d = (before[path]["task_id"] for path in "bcd")
        open_ones = await listed(database)
        assert {task: row["can_start"] for task, row in open_ones.items()} == {
            going: True,
            b: True,
            d: False,
            gap: False,
            gap_b: False,
        }
        assert "its result is lost" in open_ones[b]["found"]

        directory = tmp_path / "again"
        directory.mkdir()
        async with DagWorld("live", database.servers, directory).running() as world:
            dags = Dags(world, home)
            assert (await dags.run(TEXT, mark="new"))["result"] == {"sum": 4}
            operator = await Operator.at(servers.temporal_address or "", servers.temporal_namespace)
            async with asyncio.timeout(PATIENCE):
                for run_id in (going, gap):
                    await operator.ended(run_id)
            document = await dags.state(over)
            assert (document["status"], statuses(document)["b"]) == ("completed", "completed")
            assert statuses(await dags.state(going))["b"] == "waiting"
            assert sorted(ran[8:]) == [f"new-{name}" for name in "abcd"]
            del ran[8:]

            # Each node of the gap asks for itself, when the run comes to it; what a person starts runs once more.
            await database.json_of("start", going, "--yes")
            for node, name in ((b, "b"), (c, "c"), (d, "d")):
                await eventually(lambda: listed(database), lambda rows, node=node: is_held(rows, node), within=PATIENCE)
                assert f"going-{name}" not in ran[8:]
                await database.json_of("start", node, "--yes")
            assert (await dags.ended(going))["result"] == {"sum": 4}
            assert ran[8:] == ["going-b", "going-c", "going-d"]
            await database.json_of("drop", gap, gap_b, "--yes")
            assert await listed(database) == {}


async def test_a_run_that_was_over_and_was_retried_in_the_gap(servers_without_redis: Servers, tmp_path: Path) -> None:
    """It is undecided, and so is each node that the retry had run: a person knows of it before anything runs again."""
    servers = servers_without_redis
    FAILURES["retried-b"] = 1000
    GATES["retried-d"] = asyncio.Event()
    async with DagWorld("live", servers, tmp_path).running() as world:
        home = await world.people.household()
        dags = Dags(world, home)
        await dags.apply("test", TEXT)
        run_id = await dags.start("test", mark="retried")
        assert (await dags.ended(run_id))["status"] == "failed"
        await back_up(servers, tmp_path / "backup")

        FAILURES["retried-b"] = 0
        failed = len(RAN[home.tenant_id])
        (await dags.post(f"{run_id}/retry")).raise_for_status()
        await dags.until(run_id, "d", "running")
        before = nodes(await dags.state(run_id))
        await stop_workers(world)
    ran = RAN[home.tenant_id]
    assert ran[failed:] == ["retried-b", "retried-c"]
    GATES["retried-d"].set()

    async with restored_database(servers, tmp_path / "backup") as database:
        await database.recover()
        open_ones = await listed(database)
        assert open_ones[run_id]["can_start"]
        b, c, d = (before[path]["task_id"] for path in "bcd")
        assert "its result is lost" in open_ones[b]["found"]

        directory = tmp_path / "again"
        directory.mkdir()
        async with DagWorld("live", database.servers, directory).running() as world:
            dags = Dags(world, home)
            assert (await dags.run(TEXT, mark="after"))["result"] == {"sum": 4}
            more = len(ran)
            await database.json_of("start", run_id, "--yes")
            for node, name in ((b, "b"), (c, "c"), (d, "d")):
                await eventually(lambda: listed(database), lambda rows, node=node: is_held(rows, node), within=PATIENCE)
                assert f"retried-{name}" not in ran[more:]
                await database.json_of("start", node, "--yes")
            assert (await dags.ended(run_id))["result"] == {"sum": 4}
            assert ran[more:] == ["retried-b", "retried-c", "retried-d"]
            assert await listed(database) == {}


UNDONE = """
nodes:
  a: {type: dag_echo, compensate: {type: dag_undo, input: {mark: UNDO-a}}}
  b: {type: dag_echo, needs: [a], compensate: {type: dag_undo, input: {mark: UNDO-b}}}
  wait: {type: dag_echo, needs: [b], input: {mark: UNDO-wait}}
  last: {type: gone_since, needs: [wait], on_failure: compensate}
"""


async def came_to(dags: Dags, run_id: str, path: str, status: str) -> dict[str, Any]:
    """A node that is not there from the beginning, once it has this status."""
    document = await eventually(
        lambda: dags.state(run_id), lambda found: statuses(found).get(path) == status, within=PATIENCE
    )
    return dict(nodes(document)[path])


@pytest.mark.parametrize("is_over", [True, False], ids=["that ended", "that was under way"])
async def test_a_compensation_of_the_gap(servers_without_redis: Servers, tmp_path: Path, is_over: bool) -> None:
    """What was undone after the backup is not undone again unasked, and a run that failed there is told as failed."""
    servers, mark = servers_without_redis, f"undo{int(is_over)}"
    gates = [f"{mark}-wait", *([] if is_over else [f"{mark}-a"])]
    for gate in gates:
        GATES[gate] = asyncio.Event()
    async with DagWorld("live", servers, tmp_path).running() as world:
        home = await world.people.household()
        dags = Dags(world, home)
        await dags.apply("undone", UNDONE.replace("UNDO", mark))
        run_id = await dags.start("undone")
        await dags.until(run_id, "wait", "running")
        await back_up(servers, tmp_path / "backup")
        GATES[f"{mark}-wait"].set()
        if is_over:
            assert (await dags.ended(run_id))["status"] == "failed"
        else:
            await came_to(dags, run_id, "a~undo", "running")
            await stop_workers(world)
    ran = [one for one in RAN[home.tenant_id] if one]
    assert ran == [f"{mark}-wait", f"{mark}-b", *([f"{mark}-a"] if is_over else [])]
    for gate in gates:
        GATES[gate].set()

    async with restored_database(servers, tmp_path / "backup") as database:
        await database.recover()
        directory = tmp_path / "again"
        directory.mkdir()
        async with DagWorld("live", database.servers, directory).running() as world:
            dags = Dags(world, home)
            if is_over:
                document = await dags.state(run_id)
                assert document["status"] == "failed"
                assert "No handler for task type 'gone_since'" in document["error"]
                await eventually(lambda: listed(database), lambda rows: not rows, within=PATIENCE)
            else:
                await database.json_of("start", run_id, "--yes")
                for path in ("wait", "last", "b~undo", "a~undo"):
                    node = (await came_to(dags, run_id, path, "waiting"))["task_id"]
                    await eventually(
                        lambda: listed(database), lambda rows, node=node: is_held(rows, node), within=PATIENCE
                    )
                    await database.json_of("drop" if path == "b~undo" else "start", node, "--yes")
                assert (await dags.ended(run_id))["status"] == "failed"
    more = [one for one in RAN[home.tenant_id] if one][len(ran) :]
    assert more == ([] if is_over else [f"{mark}-wait", f"{mark}-a"])
