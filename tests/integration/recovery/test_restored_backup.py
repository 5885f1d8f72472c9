"""A backup that was taken in mid-run is restored: `taskgate recover`, with the real `pg_dump` and both real engines."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from contracts.probes import BOARD
from contracts.world import PATIENCE, Servers, World
from deploy.local.postgres import locate
from gateway.cli.main import app
from gateway.routing.stages import Stage
from gateway.storage.preflight import DatabaseUnfit, check_database
from workers.testing.waiting import eventually

Invoke = Callable[..., Awaitable[Any]]


async def run_program(name: str, *words: str) -> None:
    program = await asyncio.create_subprocess_exec(
        locate().directory / name, *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await program.communicate()
    assert program.returncode == 0, said.decode()


async def crash(world: World) -> None:
    """Its workers take nothing more, and end what they run."""
    for worker in world._workers:
        worker.stopping.set()
    ends = [task for task in world._tasks if task.get_name().startswith("worker")]
    BOARD.release_all()
    await asyncio.gather(*ends)


@dataclass
class Restored:
    """Tasks by what became of them, the servers with the restored database, and its command."""

    tasks: dict[str, str]
    servers: Servers
    projects: dict[str, Any]
    invoke: Invoke

    async def json_of(self, *words: str) -> Any:
        result = await self.invoke("recover", *words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
async def restored(
    queue: Any, own_servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Restored]:
    """Tasks ran and waited on both engines when the backup was taken; the system went on, and died; it is restored."""
    world = World("flipped", own_servers, tmp_path)
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
        await run_program("pg_dump", "-Fc", "-f", str(tmp_path / "backup"), own_servers.database_url)

        tasks["gap done"] = await world.submit(red, project_id=other)
        await world.ended(tasks["gap done"])
        await crash(world)
        tasks["redis gap"] = await world.submit(red, project_id=other)
        tasks["temporal gap"] = await world.submit(blue)
        await world.queued(tasks["redis gap"])
        await world.queued(tasks["temporal gap"])
    assert [BOARD.runs[tasks[name]] for name in ("redis running", "temporal running", "gap done")] == [1, 1, 1]

    server = own_servers.database_url.rpartition("/")[0]
    name = f"restored_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(own_servers.database_url)
    await admin.execute(f'CREATE DATABASE "{name}"')
    url = f"{server}/{name}"
    await run_program("pg_restore", "-d", url, str(tmp_path / "backup"))
    servers = replace(own_servers, database_url=url)
    environment = {
        "TASKGATE_DATABASE_URL": url,
        "TASKGATE_REDIS_URL": servers.redis_url or "",
        "TASKGATE_TEMPORAL_ADDRESS": servers.temporal_address or "",
        "TASKGATE_TEMPORAL_NAMESPACE": servers.temporal_namespace,
        # The database remembers leases that were renewed seconds ago; a restore takes longer than that elsewhere.
        "TASKGATE_LEASE_SECONDS": "2",
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    async def invoke(*words: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, app, [*words])

    yield Restored(tasks, servers, {"red": red, "other": other}, invoke)
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


async def recovered(restored: Restored) -> dict[str, Any]:
    await eventually(lambda: restored.json_of("--dry-run"), lambda found: not found["living"], within=PATIENCE)
    report: dict[str, Any] = await restored.json_of("--yes", "--by", "ada", "--why", "disk lost")
    return report


async def test_nothing_of_the_gap_starts_unasked_and_nothing_runs_twice(
    restored: Restored, tmp_path: Path, queue: Any
) -> None:
    tasks = restored.tasks
    report = await recovered(restored)
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
            await recovered(restored)
    with pytest.raises(DatabaseUnfit, match="run `taskgate recover` again"):
        await check_database(restored.servers.database_url)
    before = await restored.json_of("--dry-run")
    report = await recovered(restored)
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
