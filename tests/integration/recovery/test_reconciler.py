"""What nobody reported is found: legacy workers' writes, engines that lost or ended a start, rows changed by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from backends.errors import EngineUnavailable
from backends.memory.engine import CAPABILITIES, MemoryEngine
from backends.port import Capability, EndedWorkflow, WorkflowRef, WorkflowStart, WorkflowState, WorkflowStatus
from gateway.recovery import engine_check as module
from gateway.recovery.engine_check import EngineCheck
from gateway.recovery.reconciler import ROWLESS_EVERY, SQL, Reconciler
from gateway.storage.database import Database


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything counts as silent, and reported late, at once."""
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.0)
    monkeypatch.setattr(module, "UNFENCED_SILENT_SECONDS", 0.0)
    monkeypatch.setattr(module, "REPORT_GRACE", timedelta(0))


@pytest.fixture
def fenced() -> MemoryEngine:
    return MemoryEngine(name="temporal")


@pytest.fixture
def legacy() -> MemoryEngine:
    """An engine whose workers do not claim, like the legacy queue."""
    return MemoryEngine(name="redis", capabilities=CAPABILITIES - {Capability.FENCED})


class Everything:
    """All comparisons, one after the other."""

    def __init__(self, rows: Reconciler, checks: list[EngineCheck]) -> None:
        self._rows = rows
        self._checks = checks

    async def tick(self) -> None:
        await self._rows.tick()
        for check in self._checks:
            for look in (check.check_memory, check.keep_fresh, check.merge_ended, check.check_open, check.settle):
                await look()


@pytest.fixture
def reconciler(database: Database, fenced: MemoryEngine, legacy: MemoryEngine, changes: Any) -> Everything:
    engines = {"temporal": fenced, "redis": legacy}
    checks = [
        EngineCheck(database, engine, changes, is_down=lambda _: False, wake=lambda: None)
        for engine in engines.values()
    ]
    return Everything(Reconciler(database, engines, changes), checks)


@pytest.fixture
def state(database: Database) -> Any:
    async def read(task_id: str) -> str:
        return str(await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = $1", task_id))

    return read


async def start(engine: MemoryEngine, task_id: str) -> WorkflowRef:
    ref = WorkflowRef(task_id, 1, "g", "probe")
    await engine.start_workflow(WorkflowStart(ref, {}, timedelta(seconds=600)))
    return ref


async def test_a_legacy_workers_run_is_merged(reconciler, database, legacy, new_task, state, changes):
    task = await new_task()
    await start(legacy, task)
    await database.execute("UPDATE task_logs SET started_at = now(), worker_id = 'old-1' WHERE id = $1", task)
    await reconciler.tick()
    assert await state(task) == "running"
    await database.execute("UPDATE task_logs SET status = 'COMPLETED', completed_at = now() WHERE id = $1", task)
    await reconciler.tick()
    assert await state(task) == "completed"
    attempts = await database.fetch("SELECT worker_id, outcome FROM taskgate.attempt WHERE task_id = $1", task)
    assert [tuple(row) for row in attempts] == [("old-1", "completed")]
    assert set(changes.ids) == {task}


async def test_what_the_last_legacy_worker_held_when_it_died_is_taken_back(
    reconciler, database, legacy, new_task, new_worker, state
):
    """Where another one is left, its recovery loop does it (contract §5, rule 1)."""
    dead, alive, ours = [await new_task() for _ in range(3)]
    await database.execute("UPDATE taskgate.dispatch SET task_type = 'add_episode'")
    for task, worker, seconds in ((dead, "old-1", 730), (alive, "old-2", 710), (ours, "own", 730)):
        await start(legacy, task)
        await database.execute(
            "UPDATE task_logs SET started_at = now() - make_interval(secs => $3), worker_id = $2 WHERE id = $1",
            task,
            worker,
            float(seconds),
        )
    await new_worker("own")
    await reconciler.tick()
    assert [await state(task) for task in (dead, alive, ours)] == ["queued", "running", "running"]
    duties = await database.fetch("SELECT kind, subject, worker_id FROM taskgate.engine_duty")
    assert [tuple(row) for row in duties] == [("requeue", dead, "old-1")]
    row = await database.fetchrow(
        "SELECT status, started_at, worker_id, retry_count FROM task_logs WHERE id = $1", dead
    )
    assert tuple(row) == ("PROCESSING", None, None, 1)


async def test_a_row_that_somebody_has_stopped_is_a_stopped_task(reconciler, database, legacy, new_task, state):
    """STOPPED is a status of the contract (§6). What waits in its group would wait behind it for ever."""
    task = await new_task()
    await start(legacy, task)
    await database.execute("UPDATE task_logs SET status = 'STOPPED', stopped_at = now() WHERE id = $1", task)
    await reconciler.tick()
    assert await state(task) == "stopped"
    duties = await database.fetch("SELECT kind, backend FROM taskgate.engine_duty WHERE subject = $1", task)
    assert [tuple(row) for row in duties] == [("cancel", "redis")]
    await reconciler.tick()
    row = await database.fetchrow("SELECT status, error_message FROM task_logs WHERE id = $1", task)
    assert tuple(row) == ("FAILED", "Task stopped by user")


@pytest.mark.parametrize(("status", "outcome"), [("COMPLETED", "completed"), ("FAILED", "failed")])
async def test_a_run_that_was_over_before_anybody_saw_it_begin_is_kept(reconciler, database, new_task, status, outcome):
    """The short tasks of a legacy worker: without their runs a tenant had no baseline (docs/parity.md)."""
    task = await new_task()
    await database.execute(
        "UPDATE task_logs SET status = $2, worker_id = 'old-1', error_message = 'why',"
        " started_at = now() - interval '3 s', completed_at = now() - interval '1 s' WHERE id = $1",
        task,
        status,
    )
    await reconciler.tick()
    attempts = await database.fetch(
        "SELECT attempt, worker_id, outcome, error, extract(epoch FROM ended_at - started_at)::int AS seconds"
        " FROM taskgate.attempt WHERE task_id = $1",
        task,
    )
    assert [tuple(row) for row in attempts] == [(1, "old-1", outcome, "why", 2)]
    row = await database.fetchrow(
        "SELECT d.attempt, d.claimed_at = t.started_at FROM taskgate.dispatch d JOIN task_logs t ON t.id = d.task_id"
    )
    assert tuple(row) == (1, True)


async def test_what_a_person_ended_had_no_run(reconciler, database, new_task, state):
    task = await new_task()
    await database.execute("UPDATE task_logs SET status = 'FAILED', completed_at = now() WHERE id = $1", task)
    await reconciler.tick()
    assert await state(task) == "failed"
    assert await database.fetch("SELECT FROM taskgate.attempt") == []


async def test_a_recovered_row_is_reserved_again(reconciler, database, legacy, new_task, log_row, state):
    task = await new_task(state="running")
    await start(legacy, task)
    await database.execute("UPDATE task_logs SET status = 'PENDING', retry_count = 1 WHERE id = $1", task)
    await reconciler.tick()
    row = await log_row(task)
    assert (row["status"], row["started_at"], row["worker_id"]) == ("PROCESSING", None, None)
    assert await state(task) == "queued"


async def test_a_late_word_about_a_stopped_task_is_put_right(reconciler, database, transitions, new_task, log_row):
    task = await new_task(state="running")
    await transitions.stop(task)
    await database.execute("UPDATE task_logs SET status = 'COMPLETED', error_message = NULL WHERE id = $1", task)
    await reconciler.tick()
    row = await log_row(task)
    assert (row["status"], row["error_message"]) == ("FAILED", "Task stopped by user")


async def test_a_start_that_its_engine_ended_is_ended(reconciler, fenced, new_task, log_row, state):
    task = await new_task(backend="temporal")
    ref = await start(fenced, task)
    await fenced.cancel_workflow(ref, "terminated by hand")
    await reconciler.tick()
    assert await state(task) == "stopped"
    assert (await log_row(task))["status"] == "FAILED"


async def test_a_start_that_its_engine_goes_on_with_is_not_ended(reconciler, fenced, new_task, state, monkeypatch):
    """Of what was reset there, one run has ended, under the same id."""
    task = await new_task(backend="temporal")
    ref = await start(fenced, task)
    ended = EndedWorkflow(ref.workflow_id, WorkflowStatus(WorkflowState.TERMINATED))

    async def list_ended(_: datetime, *, completed: bool = True) -> list[EndedWorkflow]:
        return [ended]

    monkeypatch.setattr(fenced, "list_ended", list_ended)
    await reconciler.tick()
    assert await state(task) == "queued"
    await fenced.cancel_workflow(ref, "terminated by hand")
    await reconciler.tick()
    assert await state(task) == "stopped"


async def test_what_an_engine_ended_waits_for_its_word(reconciler, fenced, new_task, state):
    """An engine that goes away right after it was listed is asked when it is back."""
    task = await new_task(backend="temporal")
    await fenced.cancel_workflow(await start(fenced, task), "terminated by hand")
    for _ in range(3):  # when its memory is compared, when it is looked at, and when it is to be ended
        fenced.faults.fail_next("get_workflow_status", EngineUnavailable())
    await reconciler.tick()
    assert await state(task) == "queued"
    await reconciler.tick()
    assert await state(task) == "stopped"


@pytest.mark.parametrize(
    ("end", "state_there", "words"),
    [
        (WorkflowState.TIMED_OUT, "failed", "Task timed out: no worker took it"),
        (WorkflowState.TERMINATED, "stopped", "Task terminated: no worker took it"),
        (WorkflowState.FAILED, "failed", "no worker took it"),
    ],
)
async def test_what_is_said_of_an_end(
    reconciler, fenced, new_task, log_row, state, monkeypatch, end, state_there, words
):
    task = await new_task(backend="temporal")
    ref = await start(fenced, task)
    status = WorkflowStatus(end, "no worker took it")

    async def list_ended(_: datetime, *, completed: bool = True) -> list[EndedWorkflow]:
        return [EndedWorkflow(ref.workflow_id, WorkflowStatus(end))]

    async def get_workflow_status(_: WorkflowRef) -> WorkflowStatus:
        return status

    monkeypatch.setattr(fenced, "list_ended", list_ended)
    monkeypatch.setattr(fenced, "get_workflow_status", get_workflow_status)
    await reconciler.tick()
    assert await state(task) == state_there
    assert (await log_row(task))["error_message"] == words


@pytest.mark.parametrize("backend", ["temporal", "redis"])
async def test_an_engine_that_lost_its_memory_gets_its_tasks_again(
    reconciler, database, fenced, legacy, new_task, state, backend
):
    engine = {"temporal": fenced, "redis": legacy}[backend]
    kept = await new_task(backend=backend, queued_at=None)
    await start(engine, kept)
    await reconciler.tick()
    assert await state(kept) == "queued"
    engine.forget()
    await reconciler.tick()
    assert await state(kept) == "waiting"


async def test_an_engine_that_loses_its_memory_with_its_first_task_is_noticed(
    reconciler, database, legacy, new_task, state
):
    await reconciler.tick()
    task = await new_task(queued_at=None)
    await start(legacy, task)
    legacy.forget()
    await reconciler.tick()
    assert await state(task) == "waiting"


async def test_a_row_deleted_by_hand_ends_the_task_everywhere(reconciler, database, new_task, state):
    task = await new_task()
    await database.execute("UPDATE taskgate.dispatch SET created_at = now() - interval '1 minute'")
    await database.execute("DELETE FROM task_logs WHERE id = $1", task)
    await reconciler.tick()
    assert await state(task) == "stopped"
    cancelled = await database.fetchrow("SELECT cancel_epoch, cancel_backend FROM taskgate.dispatch")
    assert tuple(cancelled) == (1, "redis")


class Slow:
    """A database in which a comparison takes a second, and the clock that says so."""

    def __init__(self, database: Database, query: str) -> None:
        self._database = database
        self._query = query
        self.now = 0.0

    async def fetch(self, query: str, *values: object) -> list[Any]:
        self.now += query == self._query
        return await self._database.fetch(query, *values)

    async def execute(self, query: str, *values: object) -> Any:
        return await self._database.execute(query, *values)


async def test_a_comparison_that_takes_long_is_made_less_often(database, legacy, changes, new_task, state):
    """Some read all that engines hold: with 70,000 tasks in Redis that took a third of a second, every two seconds."""
    slow: Any = Slow(database, SQL.drop_rowless)
    reconciler = Reconciler(slow, {"redis": legacy}, changes, clock=lambda: slow.now)
    for _ in range(ROWLESS_EVERY):
        await reconciler.tick()
    task = await new_task()
    await database.execute("UPDATE taskgate.dispatch SET created_at = now() - interval '1 minute'")
    await database.execute("DELETE FROM task_logs WHERE id = $1", task)
    for _ in range(ROWLESS_EVERY):
        await reconciler.tick()
    assert await state(task) == "queued", "the last look took a second: the next one comes nine seconds later"
    slow.now += 9
    for _ in range(ROWLESS_EVERY):
        await reconciler.tick()
    assert await state(task) == "stopped"
