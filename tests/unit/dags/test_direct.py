"""Which nodes the process that opens them starts itself, and which it leaves to dispatchers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from backends.memory.engine import MemoryEngine
from backends.port import RetryPolicy
from gateway.dags.batch import RunFacts
from gateway.dags.direct import FEW, DirectStarts
from gateway.dags.store import DagVersion
from gateway.dispatch.lane import Lane
from gateway.submission.new_task import NewTask, RetryOverride
from gateway.submission.start_plan import StartPlan

RUN = RunFacts(
    run_id="run",
    epoch=1,
    tenant_id="acme",
    project_id=None,
    user_id="someone",
    group_id="tenant:acme",
    priority=3,
    depth=0,
    params={},
    started_at=datetime.now(UTC),
    dag=cast(DagVersion, None),
    plan="vip",
    stage="live",
    weight=2.5,
)


def node(task_type: str = "echo", **more: Any) -> NewTask:
    return NewTask(task_type, RUN.group_id, {}, RUN.placement, RUN.user_id, dag_run_id=RUN.run_id, **more)


def plan(tasks: Sequence[NewTask], run: RunFacts = RUN, lane: Lane | None = None) -> list[StartPlan] | None:
    lane = lane or Lane(MemoryEngine(), concurrency=16)
    return DirectStarts(lane, ["echo", "add_episode"], RetryPolicy(attempts=3)).plan(run, tasks)


def test_a_node_is_started_as_a_dispatcher_would() -> None:
    planned = plan([node(priority=4, retry=RetryOverride(attempts=7))])
    assert planned is not None
    [start_plan] = planned
    assert start_plan.start is not None
    assert (start_plan.state, start_plan.backend, start_plan.stage) == ("starting", "memory", "live")
    # A VIP tenant has a queue of its own, and goes one level ahead.
    assert start_plan.queue == start_plan.start.queue
    assert "acme" in (start_plan.queue or "")
    assert (start_plan.start.priority, start_plan.start.fairness_weight) == (3, 2.5)
    assert start_plan.start.retry.attempts == 7
    # Nobody repeats it before it can have been confirmed.
    assert start_plan.due_at > datetime.now(UTC) + timedelta(seconds=5)


@pytest.mark.parametrize(
    "tasks",
    [
        [],
        [node() for _ in range(FEW + 1)],
        [node(), node("no_handler_here")],
        [node(held="waits for approval")],
        [node("add_episode")],
    ],
    ids=["none", "many", "a type without a handler", "held", "a tenant may want a DAG for it"],
)
def test_others_are_left_to_dispatchers(tasks: list[NewTask]) -> None:
    assert plan(tasks) is None


def test_so_is_everything_where_tasks_are_held_back() -> None:
    assert plan([node()], replace(RUN, held_back=True)) is None


def test_and_beside_an_engine_that_is_down_or_busy() -> None:
    down, busy = (Lane(MemoryEngine(), concurrency=16) for _ in range(2))
    down.failed()
    for _ in range(FEW):
        busy.begin(0)
    assert plan([node()], lane=down) is None
    assert plan([node()], lane=busy) is None
