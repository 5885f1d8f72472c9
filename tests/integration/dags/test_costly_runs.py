"""Runs made to cost workers: each ends with an error that says why, the workers live, and others wait for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from contracts.children import parsing_children
from contracts.dag_world import Dags, DagWorld, statuses
from contracts.least import least
from contracts.world import Servers
from deploy.local.database_stock import DatabaseStock
from deploy.local.temporal_setup import ensure_namespace
from gateway.settings import Settings
from tests.integration.dags.test_killed_worker import another_worker

#: Longest until a task of somebody else begins (seconds).
LONGEST_WAIT = 2.0
#: Runs at once; each would have cost a worker.
RUNS = 4

#: Those of these processes that were declared lost.
LOST = "SELECT pid, kind FROM taskgate.process WHERE lost_at IS NOT NULL AND pid = ANY($1::int[])"

SLOW = "params.l.exists(i, params.x.matches('(.{0,500}){0,2}b'))"
LARGE = "size(params.l.map(a, 1)) > 0"
TEXT = """
params: {{l: {{type: list}}, x: {{type: string, default: ""}}}}
nodes:
  costly: {{type: dag_echo, when: "{}"}}
"""
COSTLY: dict[str, tuple[str, dict[str, Any]]] = {
    "time": (SLOW, {"l": [1, 2, 3, 4], "x": "a" * 900_000}),
    "memory": (LARGE, {"l": list(range(9_000))}),
}


class WideWorld(DagWorld):
    """Parameters as large as they may be elsewhere."""

    def settings(self, **more: Any) -> Settings:
        return super().settings(**{"dag_max_data_bytes": 1024 * 1024, **more})


@pytest_asyncio.fixture(scope="module")
async def wide_world(
    databases: DatabaseStock,
    temporal_server: str,
    temporal_namespace: str,
    neo4j_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[WideWorld]:
    # Its own: the workers of `dag_world` take tasks of the same queues, for another database.
    namespace = f"{temporal_namespace}-wide"
    await ensure_namespace(temporal_server, namespace)
    async with databases.one() as database_url:
        servers = Servers(
            database_url=database_url,
            redis_url=None,
            temporal_address=temporal_server,
            temporal_namespace=namespace,
            graph_url=neo4j_server,
        )
        async with WideWorld("live", servers, tmp_path_factory.mktemp("wide")).running() as world:
            yield world


@pytest.mark.parametrize("what", COSTLY)
async def test_it_ends_with_its_error_and_others_begin(wide_world: WideWorld, what: str, tmp_path: Path) -> None:
    worker = await another_worker(wide_world, tmp_path / "ready")
    supervisor = psutil.Process(worker.pid)
    pids = [process.pid for process in (psutil.Process(), supervisor, *supervisor.children(recursive=True))]
    dags = Dags(wide_world, await wide_world.people.household())
    stranger = await wide_world.people.household()
    others = wide_world.client(stranger.owner)
    condition, params = COSTLY[what]
    await dags.apply("costly", TEXT.format(condition))

    async def wait_of_others() -> float:
        runs = [await dags.start("costly", **params) for _ in range(RUNS)]
        body = {"type": "dag_echo", "project_id": stranger.project_id, "payload": {}}
        answer = await others.post("/gateway/v1/tasks", json=body)
        assert answer.status_code == 202, answer.text
        task_id = answer.json()["task_id"]
        await wide_world.gateway.feed.wait_terminal(task_id, 60)
        documents = await asyncio.gather(*(dags.ended(run_id) for run_id in runs))
        for document in documents:
            assert document["status"] == "failed"
            assert document["error"].startswith("Node costly failed: its expressions: it "), document["error"]
        return float(
            await wide_world.database.fetchval(
                "SELECT extract(epoch FROM started_at - created_at) FROM task_logs WHERE id = $1", task_id
            )
        )

    try:
        assert await least(wait_of_others, LONGEST_WAIT) < LONGEST_WAIT
        assert await wide_world.database.fetch(LOST, pids) == []
    finally:
        worker.terminate()
        await worker.wait()


async def test_a_run_whose_evaluation_is_killed_again_and_again_ends(
    wide_world: WideWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the system, for example, when memory is short."""
    monkeypatch.setattr("gateway.dags.confinement.SECONDS", 60.0)  # it would not end by itself
    dags = Dags(wide_world, await wide_world.people.household())
    condition, params = COSTLY["time"]
    await dags.apply("costly", TEXT.format(condition))
    run_id = await dags.start("costly", **params)
    watch = wide_world.gateway.run_watch.subscribe(run_id).open()
    killed = 0
    while (document := await dags.state(run_id))["status"] not in ("completed", "failed", "cancelled"):
        for child in parsing_children():
            with_processor_time = child.cpu_times().user > 0.5
            if with_processor_time:
                child.send_signal(psutil.signal.SIGKILL)
                killed += 1
        await watch.changes(0.1)
    watch.close()
    assert killed >= 2
    assert document["status"] == "failed"
    assert document["error"] == "Node costly failed: its expressions: its process was lost again and again"
    assert statuses(document) == {"costly": "failed"}
