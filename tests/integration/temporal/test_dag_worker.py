"""The worker for runs of DAGs, when it leaves."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from backends.temporal import names
from deploy.local.temporal_setup import ensure_namespace
from gateway.dags.run_reader import RunOver
from gateway.errors import DatabaseUnavailable
from workers.temporal.dag.activities import DagActivities
from workers.testing.scripted import ScriptedRunner
from workers.testing.temporal_bench import TemporalBench
from workers.testing.waiting import until


class Steps:
    """Each step raises this error."""

    def __init__(self, error: Exception) -> None:
        self.tries = 0
        self._error = error

    async def begin(self, run_id: str, epoch: int) -> Any:
        self.tries += 1
        raise self._error


@pytest.fixture
async def bench(temporal_server: str) -> Any:
    """In a namespace of its own, because all runs of a namespace have one queue."""
    namespace = f"leaving-{secrets.token_hex(4)}"
    await ensure_namespace(temporal_server, namespace)
    async with AsyncExitStack() as cleanup:
        yield TemporalBench(temporal_server, namespace, "t", cleanup)


async def test_a_run_whose_worker_leaves_in_an_outage_goes_on_at_another_worker(bench: TemporalBench) -> None:
    """The one that leaves cannot do the step, and must not keep the run while it tries again."""
    away, over = Steps(DatabaseUnavailable()), Steps(RunOver())
    start = replace(bench.start(), workflow=names.RUN_DAG)
    engine = bench.engine()
    await engine.start_workflow(start)
    first = await bench.serve(ScriptedRunner(), dags=DagActivities(away))
    await until(lambda: away.tries >= 2, within=20)
    first.stop()
    await bench.serve(ScriptedRunner(), dags=DagActivities(over))
    async with asyncio.timeout(20):
        assert await engine.get_workflow_result(start.ref) == {"outcome": "over"}
        await bench.runs[first]
    assert over.tries == 1
