"""The short form of the fault suite: seeded histories with no violation, and one that must have some."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

HERE = Path(__file__).resolve().parent


RAMPDOWN_STEPS = ("before_withdraw", "after_withdraw", "after_rewait")


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
    # At the end a library may still tell of a connection that its server has closed.
    summaries = [line for line in output.splitlines() if line.startswith("{")]
    assert summaries, output
    return process.returncode or 0, json.loads(summaries[-1]), output


STRUCK = (
    "kill_worker_of_a_dag",
    "kill_gateway",
    "worker_dies_at_a_step",
    "restart_redis",
    "cut_connection",
    "hung_connection",
)
#: Servers that hang, forget, refuse or only read, rather than die.
GREY = (
    "swallowed_answers",
    "late_answers",
    "vanished_connections",
    "leader_half_open",
    "hot_standby",
    "redis_replica",
    "temporal_refuses",
    "redis_refuses",
)


@pytest.mark.timeout(600)
async def test_a_history_with_faults_has_no_violation() -> None:
    """In the end everybody leaves Redis, with tasks on their way: it may be switched off, and begins nothing more."""
    only = ",".join([*STRUCK, *GREY])
    code, summary, output = await history(TASKS="160", FLIPS="8", LEAVE_EVERY="8", FAULTS="14", SEED="11", ONLY=only)
    assert summary["violations"] == 0, output
    assert (code, summary["tasks"], summary["flips"], summary["faults"]) == (0, 160, 8, 14)
    assert all(fault in output for fault in [*STRUCK, *GREY])
    assert summary["probed"] > 0, "probes went to Temporal, and none was taken for a run"
    assert summary["safe"] > 0, output
    assert "runs of DAGs: 0" not in output, output


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


@pytest.mark.timeout(600)
async def test_a_leader_that_dies_in_a_move_has_no_violation() -> None:
    """At each step of a rampdown, and at one of a rollback: the next one finds what was done, and goes on.

    The tenant that is taken back has a handler that fails on Temporal only.
    """
    only = ",".join(["leader_dies_in_a_rampdown"] * 3 + ["leader_dies_in_a_rollback"])
    code, summary, output = await history(TASKS="80", FLIPS="4", FAULTS="4", SEED="3", ONLY=only)
    assert summary["violations"] == 0, output
    assert (code, summary["tasks"], summary["flips"], summary["faults"]) == (0, 80, 4, 4)
    deaths = summary["leader_deaths"]
    assert {step: deaths.pop(step, 0) for step in RAMPDOWN_STEPS} == dict.fromkeys(RAMPDOWN_STEPS, 1), output
    assert (sum(deaths.values()), summary["taken_back"]) == (1, 1), output
    assert summary["moved"] > 0


async def test_a_rampdown_that_does_not_ask_redis_runs_tasks_twice_and_the_checker_sees_it() -> None:
    """With so many moves some meet a task in the moment in which a legacy worker runs it."""
    code, summary, output = await history(
        LEGACY="1", TASKS="80", FLIPS="20", FAULTS="1", SEED="4", MUTATE="rampdown", ONLY="leave_redis_to_legacy"
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
