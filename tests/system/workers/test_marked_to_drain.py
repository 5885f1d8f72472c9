"""A worker that somebody has marked: it finishes what it runs, takes nothing more, leaves, and is not replaced."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from gateway.recovery.host_process import is_alive
from gateway.tasks.queries.task_row import Status
from workers.testing.waiting import eventually, until

pytestmark = pytest.mark.parametrize("backend", ["redis", "temporal"], indirect=True, scope="module")

PATIENCE = 60.0
#: By then at least one renewal has come after the mark: with this lease there is one every half a second.
_HAS_READ = "SELECT renewed_at > drain_at + interval '1.1 s' FROM taskgate.process WHERE process_id = $1"


@pytest.fixture(scope="module")
def drain_seconds() -> float:
    """Longer than a test takes."""
    return 60.0


async def test_it_finishes_takes_nothing_more_and_leaves(fleet: Any, tmp_path: Path) -> None:
    database = fleet.gateway.database
    word = tmp_path / "word"
    task_id = await fleet.submit("wait_for_word", word=str(word))
    first = await fleet.started(task_id)
    worker = fleet.worker_of(first)
    name = await database.fetchval("SELECT worker_id FROM taskgate.dispatch WHERE task_id = $1", task_id)

    marked = await fleet.gateway.fleet.drain(name, by="root", why="its host goes")
    again = await fleet.gateway.fleet.drain(name, by="ann", why="once more")
    assert (marked.drain_by, marked.drain_why) == ("root", "its host goes") == (again.drain_by, again.drain_why)
    await eventually(lambda: database.fetchval(_HAS_READ, name), bool, within=PATIENCE)

    others = [await fleet.submit("sleep", seconds=0.0) for _ in range(8)]
    for other in others:
        assert (await fleet.ended(other)).status == Status.COMPLETED
        assert (await fleet.started(other)).pid != first.pid
    assert is_alive(first.pid), "what it runs is not over"
    word.touch()
    assert (await fleet.ended(task_id)).status == Status.COMPLETED
    assert await fleet.attempts(task_id) == ["completed"]
    assert [event.pid for event in fleet.journal(task_id)] == [first.pid] * 2

    await until(lambda: not is_alive(first.pid), within=PATIENCE)
    assert (await fleet.gateway.fleet.member(name)).state == "ended"
    assert (await fleet.gateway.fleet.drain(name, by="ann", why="once more")).drain_by == "root"
    supervisor = psutil.Process(worker.supervisor.pid)
    # A rolling restart fills its place again.
    supervisor.send_signal(signal.SIGHUP)
    await until(lambda: supervisor.children() and supervisor.children()[0].pid != first.pid, within=PATIENCE)
    assert worker.supervisor.returncode is None
