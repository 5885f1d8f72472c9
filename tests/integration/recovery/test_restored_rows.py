"""What a recovery does to rows, without engines."""

from __future__ import annotations

import pytest

from gateway.recovery.restored import restoration
from gateway.recovery.restored.decisions import Decisions, Undecidable
from gateway.recovery.restored.restoration import MARGIN, RecoveryRefused, Restoration
from gateway.storage.database import Database


@pytest.fixture
def recovery(database: Database) -> Restoration:
    return Restoration(database, None, None, lease_seconds=15)


async def test_epochs_attempts_processes_and_holds(database, recovery, new_task, new_worker, transitions) -> None:
    over = await new_task(state="completed", epoch=7)
    approval = await new_task(state="waiting", backend=None, epoch=0, held="approval")
    running = await new_task(epoch=3)
    await new_worker("w1")
    claim = await transitions.claim(running, "redis", 3, "w1", with_payload=False)
    assert claim is not None
    await database.execute("UPDATE taskgate.process SET renewed_at = now() - interval '1 hour'")

    report = await recovery.recover(by="ada", why=None)
    assert report.epoch_floor > MARGIN
    rows = {row["task_id"]: row for row in await database.fetch("SELECT * FROM taskgate.dispatch")}
    assert {row["epoch"] for row in rows.values()} == {report.epoch_floor}
    assert rows[over]["state"] == "completed"
    assert (rows[approval]["state"], rows[approval]["held"]) == ("waiting", "approval")
    assert (rows[running]["state"], rows[running]["held"]) == ("waiting", "recovery")
    assert rows[running]["attempt"] > claim.attempt
    # The worker of before: it reports in vain, and can claim nothing.
    assert not await transitions.complete(running, claim.attempt)
    assert await transitions.claim(running, "redis", 3, "w1", with_payload=False) is None
    assert await database.fetchval("SELECT count(*) FROM taskgate.process WHERE lost_at IS NULL") == 0

    decisions = Decisions(database, max_attempts=3)
    assert [row.task_id async for row in decisions.undecided()] == [running]
    await decisions.decide(running, "start", by="ada", why=None)
    with pytest.raises(Undecidable):
        await decisions.decide(running, "drop", by="ada", why=None)
    row = await database.fetchrow("SELECT state, held FROM taskgate.dispatch WHERE task_id = $1", running)
    assert tuple(row) == ("waiting", None)


async def test_what_is_dropped_is_failed(database, recovery, new_task, log_row) -> None:
    task = await new_task()
    await recovery.recover(by="ada", why=None)
    await Decisions(database, max_attempts=3).decide(task, "drop", by="ada", why="ran")
    assert (await log_row(task))["status"] == "FAILED"


async def test_the_next_floor_is_higher_and_one_that_does_not_fit_is_refused(
    database, recovery, new_task, monkeypatch
) -> None:
    await new_task()
    first = await recovery.recover(by="ada", why=None)
    second = await recovery.recover(by="ada", why=None)
    assert second.epoch_floor >= first.epoch_floor + MARGIN
    monkeypatch.setattr(restoration, "HIGHEST", second.epoch_floor)
    with pytest.raises(RecoveryRefused, match="may not pass"):
        await recovery.recover(by="ada", why=None)
    assert await database.fetchval("SELECT max(epoch) FROM taskgate.dispatch") == second.epoch_floor


async def test_a_change_that_cannot_be_recorded_is_not_made(database, recovery, new_task) -> None:
    task = await new_task(epoch=3)
    await database.execute("ALTER TABLE taskgate.ledger RENAME TO hidden")
    with pytest.raises(Exception, match="ledger"):
        await recovery.recover(by="ada", why=None)
    row = await database.fetchrow("SELECT state, epoch FROM taskgate.dispatch WHERE task_id = $1", task)
    assert tuple(row) == ("queued", 3)


async def test_a_payload_of_an_undecided_task_is_not_adopted(database, recovery, new_task) -> None:
    from gateway.tasks.lifecycle.foreign import ForeignTasks

    await database.execute(
        "INSERT INTO taskgate.recovered_task (task_id, recovery_id, is_known, backend, payload)"
        " VALUES ('t1', 1, false, 'redis', '{}')"
    )
    assert "a person decides" in str(await ForeignTasks(database).judge("t1", "g", {"task_id": "t1"}))
    assert await ForeignTasks(database).judge("t2", "g", {"task_id": "t2"}) is None
