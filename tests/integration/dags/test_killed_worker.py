"""A worker that is killed in mid-run changes nothing in the result, and runs nothing twice to its end."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from contracts.dag_world import Dags, DagWorld, nodes
from workers.testing.waiting import until

SUPPORT = Path(__file__).resolve().parents[3] / "contract-tests" / "support"

TEXT = """
params: {list: {type: list}}
nodes:
  first: {type: dag_echo, for_each: params.list, max_parallel: 8, input: {value: "${ item * 2 }"}}
  sum: {type: dag_echo, input: {value: "${ nodes.first.results.map(r, r.value) }"}}
  second:
    type: dag_echo
    for_each: nodes.sum.result.value
    max_parallel: 8
    input: {value: "${ item + 1 }"}
outputs: {all: "${ nodes.second.results.map(r, r.value) }"}
"""


async def another_worker(world: DagWorld, ready: Path) -> asyncio.subprocess.Process:
    """A worker process of its own beside the one in this process."""
    servers = world.servers
    environment = {
        **os.environ,
        "PYTHONPATH": str(SUPPORT),
        "TASKGATE_DATABASE_URL": servers.database_url,
        "TASKGATE_TEMPORAL_ADDRESS": servers.temporal_address or "",
        "TASKGATE_TEMPORAL_NAMESPACE": servers.temporal_namespace,
        "TASKGATE_HANDLERS": "contracts.dag_probes",
        "TASKGATE_READY_FILE": str(ready),
        "TASKGATE_LOG_LEVEL": "ERROR",
        "TASKGATE_DAG_HISTORY_EVENTS": "60",
    }
    command = (sys.executable, "-m", "workers.main", "--backend", "temporal", "--slots", "3")
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    await until(lambda: ready.exists() or process.returncode is not None, within=60)
    assert process.returncode is None, "the worker ended"
    return process


async def test_sigkill_in_mid_run(dags: Dags, tmp_path: Path) -> None:
    await dags.apply("killed", TEXT)
    numbers = list(range(40))
    worker = await another_worker(dags.world, tmp_path / "ready")
    run_id = await dags.start("killed", list=numbers)
    claimed = "SELECT count(*) FROM taskgate.dispatch d JOIN taskgate.process p ON p.process_id = d.worker_id"
    watch = dags.world.gateway.run_watch.subscribe(run_id).open()
    # It dies with tasks of the run in its hands, or just ended: any moment will do.
    while not await dags.world.database.fetchval(
        f"{claimed} WHERE d.dag_run_id = $1 AND p.pid = $2", run_id, worker.pid
    ):
        await watch.changes(0.1)
    watch.close()
    worker.kill()
    await worker.wait()
    document = await dags.ended(run_id)
    assert document["status"] == "completed", document["error"]
    assert document["result"] == {"all": [2 * n + 1 for n in numbers]}
    ends = await dags.world.database.fetch(
        "SELECT d.task_id, count(*) FILTER (WHERE a.outcome = 'completed') AS ends FROM taskgate.dispatch d"
        " JOIN taskgate.attempt a ON a.task_id = d.task_id WHERE d.dag_run_id = $1 GROUP BY d.task_id",
        run_id,
    )
    assert len(ends) == len([node for node in nodes(document).values() if node["task_id"]]) + 1
    assert {row["ends"] for row in ends} == {1}
