"""Workers that are killed or stand still: their tasks run again elsewhere, soon, and never twice at a time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.recovery.host_process import is_alive
from gateway.tasks.queries.task_row import Status

pytestmark = pytest.mark.parametrize("backend", ["redis", "temporal"], indirect=True, scope="module")

#: The promise is one second; this is what a machine with other work on it may take.
SOON = 5.0
#: Far from the end of a lease.
A_MOMENT = 0.8


async def test_a_killed_process_loses_its_task_to_another(fleet: Any) -> None:
    task_id = await fleet.submit("sleep", seconds=1.0)
    first = await fleet.started(task_id)
    os.kill(first.pid, signal.SIGKILL)
    killed = time.monotonic()
    second = await fleet.started(task_id, 2)
    assert second.pid != first.pid
    assert second.at - killed < SOON
    assert (await fleet.ended(task_id)).status == Status.COMPLETED
    assert await fleet.attempts(task_id) == ["lost", "completed"]
    await fleet.whole()


async def test_a_killed_supervisor_takes_its_process_with_it(fleet: Any) -> None:
    task_id = await fleet.submit("sleep", seconds=1.0)
    first = await fleet.started(task_id)
    worker = fleet.worker_of(first)
    await worker.end(signal.SIGKILL)
    killed = time.monotonic()
    second = await fleet.started(task_id, 2)
    assert second.at - killed < SOON
    assert (await fleet.ended(task_id)).status == Status.COMPLETED
    await worker.start()


async def test_a_process_that_stands_still_past_its_lease_never_wakes_up(fleet: Any) -> None:
    task_id = await fleet.submit("sleep", seconds=1.0)
    first = await fleet.started(task_id)
    os.kill(first.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    second = await fleet.started(task_id, 2)
    assert second.pid != first.pid
    with pytest.raises(ProcessLookupError):
        os.kill(first.pid, signal.SIGCONT)
    assert (await fleet.ended(task_id)).status == Status.COMPLETED
    of_the_first = [event for event in fleet.journal(task_id) if event.pid == first.pid]
    assert all(event.at <= stopped for event in of_the_first), "it did nothing after it had been stopped"
    await fleet.whole()


async def test_a_process_that_stands_still_for_a_moment_goes_on(fleet: Any) -> None:
    task_id = await fleet.submit("sleep", seconds=0.5)
    first = await fleet.started(task_id)
    os.kill(first.pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        await fleet.started(task_id, 2, within=A_MOMENT)
    os.kill(first.pid, signal.SIGCONT)
    assert (await fleet.ended(task_id)).status == Status.COMPLETED
    assert await fleet.attempts(task_id) == ["completed"]


async def test_a_process_that_drains_hands_its_task_to_another(fleet: Any, tmp_path: Path) -> None:
    task_id = await fleet.submit("wait_for_word", word=str(tmp_path / "word"))
    first = await fleet.started(task_id)
    worker = fleet.worker_of(first)
    worker.supervisor.send_signal(signal.SIGHUP)
    second = await fleet.started(task_id, 2)
    assert second.pid != first.pid
    (tmp_path / "word").touch()
    assert (await fleet.ended(task_id)).status == Status.COMPLETED
    events = [(event.event, event.pid == first.pid) for event in fleet.journal(task_id)]
    assert events == [("start", True), ("cancelled", True), ("start", False), ("end", False)]
    assert worker.supervisor.returncode is None
    # It was offered again, not started anew beside a copy that a legacy worker could take.
    assert await fleet.gateway.database.fetchval("SELECT epoch FROM taskgate.dispatch WHERE task_id = $1", task_id) == 1
    await fleet.whole()


async def test_a_thread_that_outlasts_a_drain_ends_with_its_process_before_its_task_begins_elsewhere(
    fleet: Any,
) -> None:
    task_id = await fleet.submit("block_a_thread", seconds=5.0)
    first = await fleet.started(task_id)
    fleet.worker_of(first).supervisor.send_signal(signal.SIGHUP)
    await fleet.started(task_id, 2)
    assert not is_alive(first.pid)
    assert (await fleet.ended(task_id)).status == Status.COMPLETED
    assert await fleet.attempts(task_id) == ["lost", "completed"]
    assert [event.event for event in fleet.journal(task_id)] == ["start", "start", "end"]
    await fleet.whole()
