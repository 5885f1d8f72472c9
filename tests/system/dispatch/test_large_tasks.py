"""Large tasks that wait are started a few at a time: what they hold of a gateway's memory is bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contracts.flag import Flag
from contracts.world import Servers
from gateway.access.placement import Placement
from gateway.bootstrap import build_gateway
from gateway.routing.stages import Stage
from gateway.settings import Settings
from gateway.submission.new_task import NewTask
from workers.testing.waiting import eventually

pytestmark = pytest.mark.timeout(420)

MEGABYTE = 1024 * 1024
SIZE = 10 * MEGABYTE - 1024
COUNT = 40
#: A look reads eight rows, a lane holds 42 MB, and of each payload that is sent there are copies: 182 MB were seen,
#: and without bounds 434.
LARGEST_GROWTH = 300
QUEUED = "SELECT count(*) FROM taskgate.dispatch WHERE state = 'queued'"


def megabytes(pid: int, what: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) // 1024


@pytest.mark.parametrize("backend", ["redis", "temporal"])
async def test_what_a_crowd_of_large_tasks_holds(
    serving: Any, servers: Servers, tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Arenas that nothing lives in any more are memory of the C library.
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", str(MEGABYTE))
    flag = Flag(tmp_path / "flags.json")
    flag.write(Stage.OFF if backend == "redis" else Stage.LIVE)
    settings = {"FLAGS_FILE": str(flag.path)}
    if backend == "temporal":
        settings |= {"TEMPORAL_ADDRESS": servers.temporal_address, "TEMPORAL_NAMESPACE": servers.temporal_namespace}
    # Accepted by a gateway without an engine, they wait.
    waiting = build_gateway(Settings(database_url=servers.database_url), engines={})
    try:
        async with serving(servers.database_url, servers.redis_url, **settings) as (process, _):
            before = megabytes(process.pid, "VmRSS")
            place = Placement("t", None, None)
            for number in range(COUNT):
                task = NewTask("probe", f"g{number}", {"text": "x" * SIZE}, place, None, held="paused")
                await waiting.intake.submit([task])
            await waiting.database.execute("UPDATE taskgate.dispatch SET held = NULL, due_at = now()")
            await eventually(lambda: waiting.database.fetchval(QUEUED), lambda found: found >= COUNT, within=240)
            assert megabytes(process.pid, "VmHWM") - before < LARGEST_GROWTH
    finally:
        await waiting.close()
