"""A backup that was taken in mid-run is restored: `taskgate recover`, with the real `pg_dump` and both real engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contracts.probes import BOARD
from contracts.restoring import RestoredDatabase, back_up, restored_database, stop_workers
from contracts.world import Servers, World
from gateway.routing.stages import Stage
from gateway.storage.preflight import DatabaseUnfit, check_database


@dataclass
class Restored(RestoredDatabase):
    """Tasks by what became of them."""

    tasks: dict[str, str]
    projects: dict[str, Any]


@pytest.fixture
async def restored(queue: Any, fresh_servers: Servers, tmp_path: Path) -> AsyncIterator[Restored]:
    """Tasks ran and waited on both engines when the backup was taken; the system went on, and died; it is restored."""
    world = World("flipped", fresh_servers, tmp_path)
    tasks: dict[str, str] = {}
    async with world.running(), AsyncExitStack() as held:
        red, blue = await world.people.household(), await world.people.household()
        other = await world.people.project(f"{red.project_id}-other", red.tenant_id, red.owner)
        await world.flag.set(Stage.LIVE, blue.tenant_id)
        for name, home in (("redis", red), ("temporal", blue)):
            tasks[f"{name} done"] = await world.submit(home)
            await world.ended(tasks[f"{name} done"])
            tasks[f"{name} running"], _ = await held.enter_async_context(world.held(home))
        # Behind the one that runs: a group runs one task at a time.
        tasks["redis waiting"] = await world.submit(red)
        await world.queued(tasks["redis waiting"])
        tasks["delayed"] = await world.submit(red, delay_seconds=3600)
        await back_up(fresh_servers, tmp_path / "backup")

        tasks["gap done"] = await world.submit(red, project_id=other)
        await world.ended(tasks["gap done"])
        await stop_workers(world)
        tasks["redis gap"] = await world.submit(red, project_id=other)
        tasks["temporal gap"] = await world.submit(blue)
        await world.queued(tasks["redis gap"])
        await world.queued(tasks["temporal gap"])
    assert [BOARD.runs[tasks[name]] for name in ("redis running", "temporal running", "gap done")] == [1, 1, 1]

    async with restored_database(fresh_servers, tmp_path / "backup") as database:
        yield Restored(database.servers, tasks, {"red": red, "other": other})


async def test_nothing_of_the_gap_starts_unasked_and_nothing_runs_twice(
    restored: Restored, tmp_path: Path, queue: Any
) -> None:
    tasks = restored.tasks
    report = await restored.recover()
    assert report["verdicts"] == {"completed": 2, "failed": 0, "continues": 1, "undecided": 1}
    assert await queue.keys("queue:group:*") == []

    listed = {row["task_id"]: row for row in await restored.json_of("list")}
    assert {tasks["redis waiting"], tasks["redis gap"], tasks["temporal gap"]} <= set(listed)
    assert not set(listed) & {tasks[name] for name in tasks if name.endswith(("done", "running", "delayed"))}
    assert listed[tasks["redis gap"]]["is_known"] is False
    assert listed[tasks["redis gap"]]["can_start"] is True
    assert listed[tasks["temporal gap"]]["can_start"] is False

    directory = tmp_path / "again"
    directory.mkdir()
    async with World("flipped", restored.servers, directory).running() as world:
        red, other = restored.projects["red"], restored.projects["other"]
        # Whatever waited in these groups would have come before.
        for more in ({}, {"project_id": other}):
            assert (await world.ended(await world.submit(red, **more)))["status"] == "COMPLETED"
        assert [BOARD.runs[tasks[name]] for name in ("redis waiting", "redis gap", "temporal gap")] == [0, 0, 0]
        for name in ("redis done", "temporal done", "redis running", "temporal running"):
            assert (await world.row(tasks[name]))["status"] == "COMPLETED"
            assert BOARD.runs[tasks[name]] == 1
        delayed = await world.dispatch(tasks["delayed"])
        assert (delayed["state"], delayed["held"]) == ("waiting", None)

        for name in ("redis waiting", "redis gap"):
            assert (await restored.json_of("start", tasks[name], "--yes", "--by", "ada"))["tasks"] == [tasks[name]]
            assert (await world.ended(tasks[name]))["status"] == "COMPLETED"
            assert BOARD.runs[tasks[name]] == 1
            row = await world.dispatch(tasks[name])
            assert (row["epoch"], row["tenant_id"]) == (report["epoch_floor"] + 1, red.tenant_id)
        refused = await restored.invoke("recover", "start", tasks["temporal gap"], "--yes")
        assert refused.exit_code == 1
        assert "its payload is gone" in refused.stderr
        await restored.json_of("drop", tasks["temporal gap"], "--yes")
        assert tasks["temporal gap"] not in {row["task_id"] for row in await restored.json_of("list")}
        kinds = await world.database.fetch(
            "SELECT kind, who FROM taskgate.ledger WHERE kind LIKE 'recovery.%' ORDER BY id"
        )
        assert [row["kind"] for row in kinds] == [
            f"recovery.{what}" for what in ("begin", "finish", "start", "start", "drop")
        ]


async def test_a_recovery_that_dies_is_gone_on_with(restored: Restored, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is finished no gateway starts; a payload that was kept is not lost, and epochs are raised once."""

    async def die(*_: Any) -> None:
        raise OSError("the terminal is closed")

    from backends.redis_queue.inventory import Inventory

    with monkeypatch.context() as patch:
        patch.setattr(Inventory, "_forget_holders", die)
        with pytest.raises(AssertionError):
            await restored.recover()
    with pytest.raises(DatabaseUnfit, match="run `taskgate recover` again"):
        await check_database(restored.servers.database_url)
    before = await restored.json_of("--dry-run")
    report = await restored.recover()
    assert report["epoch_floor"] == before["epoch_floor"]
    assert report["verdicts"] == {"completed": 2, "failed": 0, "continues": 1, "undecided": 1}
    listed = {row["task_id"]: row["can_start"] for row in await restored.json_of("list")}
    assert listed[restored.tasks["redis gap"]] is True
    await check_database(restored.servers.database_url)


async def test_it_is_refused_while_somebody_works_with_the_database(restored: Restored, tmp_path: Path) -> None:
    directory = tmp_path / "living"
    directory.mkdir()
    async with World("off", restored.servers, directory).running():
        result = await restored.invoke("recover", "--yes")
        assert result.exit_code == 1
        assert "stop them first" in result.stderr
        assert "gateway" in result.stderr
