"""Which tasks a rehearsal looks at, how much it keeps, and what it says when it cannot keep up."""

from __future__ import annotations

import pytest

from backends.errors import EngineUnavailable
from backends.rehearsal import Objection
from gateway.migration.rehearsal import findings
from gateway.migration.rehearsal.errors import UnknownReason
from gateway.recovery.fenced_database import FencedDatabase, LeadershipLost
from gateway.routing.stages import Stage


async def test_each_first_start_on_redis_under_these_stages(bench):
    await bench.start("a")
    await bench.start("b", stage="shadow")
    await bench.start("off", stage="off")
    await bench.start("live", stage="live", backend="temporal")
    await bench.start("dag", backend="temporal")
    await bench.start("again", epoch=2)
    await bench.database.execute("UPDATE taskgate.dispatch SET state = 'running' WHERE state = 'queued'")
    assert await bench.due() == ["a", "b"]
    await bench.rehearsal().tick()
    assert await bench.due() == []
    one = await bench.summary()
    assert (one.verdict, one.ready, one.not_ready, one.unknown) == ("ready", 2, 0, 0)
    assert one.note == "2 of 2 tasks could have started on Temporal"


async def test_a_task_that_a_worker_had_before_its_start_was_confirmed(bench, database):
    await bench.start("a")
    await database.execute("DELETE FROM taskgate.rehearsal_due")
    await database.execute("UPDATE taskgate.dispatch SET state = 'starting' WHERE task_id = 'a'")
    await database.execute("UPDATE taskgate.dispatch SET state = 'running' WHERE task_id = 'a'")
    assert await bench.due() == ["a"]


async def test_reasons_are_counted_and_the_gravest_comes_first(bench):
    bench.check.found = {
        "a": [Objection("no_handler", "probe"), Objection("attribute_cut", "TaskgateTenant")],
        "b": [Objection("no_handler", "probe")],
        "c": [Objection("temporal_away", "down")],
    }
    for task in ("a", "b", "c", "d"):
        await bench.start(task)
    await bench.rehearsal().tick()
    one = await bench.summary()
    assert (one.verdict, one.ready, one.not_ready, one.unknown) == ("not_ready", 1, 2, 1)
    assert [(why.code, why.weight, why.tasks) for why in one.reasons] == [
        ("no_handler", "problem", 2),
        ("temporal_away", "unknown", 1),
        ("attribute_cut", "warning", 1),
    ]
    assert one.note.startswith("2 of 4 tasks could not have run on Temporal; first: install the handler's module")
    listed = await bench.reports.tasks("acme", verdict="not_ready", reason="attribute_cut", limit=10)
    assert [(task.task_id, [why["code"] for why in task.reasons]) for task in listed] == [
        ("a", ["no_handler", "attribute_cut"])
    ]
    assert listed[0].reasons[0]["detail"] == "probe"


async def test_when_it_falls_behind_it_says_how_many_it_left_out(bench):
    for number in range(12):
        await bench.start(f"t{number:02}")
    await bench.start("bobs", tenant="globex")
    await bench.rehearsal(most_waiting=5).tick()
    assert bench.check.asked == ["t08", "t09", "t10", "t11", "bobs"], "the newest stay"
    one = await bench.summary()
    assert (one.ready, one.left_out, one.waiting) == (4, 8, 0)
    assert (await bench.summary("globex")).left_out == 0


async def test_more_than_one_page_is_looked_at(bench, monkeypatch):
    monkeypatch.setattr("gateway.migration.rehearsal.rehearsal.PAGE", 4)
    for number in range(10):
        await bench.start(f"t{number}")
    assert (await bench.summary()).waiting == 10
    await bench.rehearsal().tick()
    assert (await bench.summary()).ready == 10


async def test_so_many_verdicts_are_kept_of_each_kind(bench, database, monkeypatch):
    monkeypatch.setattr(findings, "KEPT", 3)
    bench.check.found = {"bad": [Objection("no_worker")]}
    for task in ("bad", *(f"t{number}" for number in range(8))):
        await bench.start(task)
        await bench.rehearsal().tick()
    kept = await bench.reports.tasks("acme", verdict=None, reason=None, limit=100)
    assert [task.task_id for task in kept] == ["t7", "t6", "t5", "bad"]
    assert (await bench.summary()).ready == 8, "counts stay"
    await database.execute("UPDATE taskgate.rehearsal_count SET hour = hour - interval '8 days'")
    await database.execute("UPDATE taskgate.rehearsal_verdict SET at = at - interval '8 days'")
    await bench.rehearsal().forget(7)
    assert await database.fetchval("SELECT count(*) FROM taskgate.rehearsal_count") == 0
    assert await bench.reports.tasks("acme", verdict=None, reason=None, limit=100) == []


async def test_temporal_away_is_asked_once_a_page(bench):
    bench.check.error = EngineUnavailable("nobody listens")
    for number in range(5):
        await bench.start(f"t{number}")
    await bench.rehearsal().tick()
    assert bench.check.asked == ["t0"]
    one = await bench.summary()
    assert (one.verdict, one.unknown) == ("unknown", 5)
    assert one.note.startswith("of 5 of 5 tasks it could not be found out; first: see that TASKGATE_TEMPORAL_ADDRESS")


async def test_tasks_of_a_group_that_wait_beside_each_other(bench):
    """Redis runs them one after the other, Temporal at once."""
    await bench.start("a", group="g")
    await bench.start("b", group="g")
    await bench.start("alone", group="h")
    await bench.rehearsal().tick()
    one = await bench.summary()
    assert (one.verdict, [(why.code, why.tasks) for why in one.reasons]) == ("ready", [("group_order", 2)])


async def test_a_tenant_without_traffic(bench):
    one = await bench.summary()
    assert (one.verdict, one.note) == (
        "no_data",
        "no task was started in the last 24 h: submit one, or wait; nothing is known",
    )
    other = await bench.summary("globex")
    assert (other.stage, other.verdict) == (Stage.OFF, "no_data")
    assert other.note == "stage off rehearses nothing: set dualwrite or shadow (taskgate flags set)"
    assert [one.tenant_id for one in await bench.reports.summaries(None, 24)] == ["acme"]


async def test_a_leader_that_leads_no_more_writes_nothing(bench, database):
    await bench.start("a")
    bench.database = FencedDatabase(database)
    with pytest.raises(LeadershipLost):
        await bench.rehearsal().tick()
    bench.database = database
    assert await bench.due() == ["a"]


async def test_an_unknown_reason_is_told(bench):
    with pytest.raises(UnknownReason, match="There is no reason 'tired'; the reasons are no_worker, no_handler"):
        await bench.reports.tasks("acme", verdict=None, reason="tired", limit=1)
