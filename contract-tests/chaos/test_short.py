"""The short form of the fault suite: seeded histories with no violation, and one that must have some."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


async def history(**settings: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, summary and output of one run."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TASKGATE_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE),
        env={**inherited, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    last = output.strip().splitlines()[-1]
    assert last.startswith("{"), output
    return process.returncode or 0, json.loads(last), output


STRUCK = (
    "kill_worker_of_a_dag",
    "kill_gateway",
    "worker_dies_at_a_step",
    "restart_redis",
    "cut_connection",
    "hung_connection",
)


async def test_a_history_with_faults_has_no_violation() -> None:
    code, summary, output = await history(TASKS="120", FLIPS="6", FAULTS="6", SEED="11", ONLY=",".join(STRUCK))
    assert summary["violations"] == 0, output
    assert (code, summary["tasks"], summary["flips"], summary["faults"]) == (0, 120, 6, 6)
    assert all(fault in output for fault in STRUCK)
    assert summary["probed"] > 0, "probes went to Temporal, and none was taken for a run"
    assert "runs of DAGs: 0" not in output, output


GREY = (
    "swallowed_answers",
    "vanished_connections",
    "leader_half_open",
    "hot_standby",
    "temporal_refuses",
    "redis_refuses",
)


async def test_a_history_with_grey_neighbours_has_no_violation() -> None:
    """Servers that hang, forget, refuse or only read, rather than die."""
    code, summary, output = await history(TASKS="120", FLIPS="6", FAULTS="6", SEED="12", ONLY=",".join(GREY))
    assert summary["violations"] == 0, output
    assert (code, summary["tasks"], summary["flips"], summary["faults"]) == (0, 120, 6, 6)
    assert all(fault in output for fault in GREY)


async def test_beside_a_legacy_worker_nothing_runs_twice() -> None:
    """With its recovery loop, on the Redis of our own workers, which come when it has run some."""
    code, summary, output = await history(
        LEGACY="1", TASKS="40", FLIPS="3", FAULTS="2", SEED="5", ONLY="kill_worker,leave_redis_to_legacy"
    )
    assert summary["violations"] == 0, output
    assert (code, summary["tasks"], summary["flips"], summary["faults"]) == (0, 40, 3, 2)
    assert summary["legacy_runs"] > 0


async def test_without_the_fence_copies_run_and_the_checker_sees_it() -> None:
    code, summary, _ = await history(
        TASKS="100", FLIPS="2", FAULTS="4", SEED="7", MUTATE="fence", ONLY="copies_in_redis"
    )
    assert summary["violations"] > 0
    assert code == 1


async def test_a_leader_that_dies_in_a_rampdown_has_no_violation() -> None:
    """At each step; what it had taken out of Redis is found by the next one."""
    code, summary, output = await history(TASKS="80", FLIPS="8", FAULTS="3", SEED="3", ONLY="leader_dies_in_a_rampdown")
    assert summary["violations"] == 0, output
    assert (code, summary["tasks"], summary["flips"], summary["faults"]) == (0, 80, 8, 3)
    assert summary["leader_deaths"] == {"before_withdraw": 1, "after_withdraw": 1, "after_rewait": 1}, output
    assert summary["moved"] > 0


async def test_a_rampdown_that_does_not_ask_redis_runs_tasks_twice_and_the_checker_sees_it() -> None:
    code, summary, output = await history(
        LEGACY="1", TASKS="40", FLIPS="8", FAULTS="1", SEED="4", MUTATE="rampdown", ONLY="leave_redis_to_legacy"
    )
    assert summary["moved"] > 0, output
    assert summary["violations"] > 0, output
    assert code == 1


async def test_a_leader_that_dies_in_a_plan_has_no_violation() -> None:
    """The next one carries it out, and takes everybody back when it is told to."""
    code, summary, output = await history(TASKS="60", FLIPS="2", FAULTS="1", SEED="9", ONLY="leader_dies_in_a_plan")
    assert (code, summary["violations"]) == (0, 0), output
    assert sum(summary["leader_deaths"].values()) == 1, output
    assert summary["plans"] == {"done": 1, "aborted": 1}, output


async def test_a_handler_that_fails_on_temporal_only_is_taken_back_though_the_leader_dies_in_it() -> None:
    """Nothing is lost and nothing runs twice; a history in which the guardrail takes nothing back fails."""
    code, summary, output = await history(TASKS="40", FLIPS="2", FAULTS="1", SEED="8", ONLY="leader_dies_in_a_rollback")
    assert (code, summary["violations"], summary["taken_back"]) == (0, 0, 1), output
    assert sum(summary["leader_deaths"].values()) == 1, output


async def test_redis_that_may_be_switched_off_begins_nothing_more() -> None:
    """Everybody leaves it, with tasks on their way."""
    code, summary, output = await history(TASKS="40", FLIPS="20", FAULTS="1", SEED="6", ONLY="kill_worker")
    assert (code, summary["violations"]) == (0, 0), output
    assert summary["safe"] > 0, output
