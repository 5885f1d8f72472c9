"""The runner between PostgreSQL and a handler, when words cross or do not come through."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from gateway.settings import Settings
from gateway.tasks.lifecycle.foreign import ForeignTasks
from workers import runner as module
from workers.execution.isolated import IsolatedExecution
from workers.handlers.loader import load_registry
from workers.outcome import Assignment, Completed, Failed, Refused, Stopped
from workers.testing.waiting import eventually


def assignment(task: str) -> Assignment:
    return Assignment(task, "redis", 1, {}, "probe", "g")


async def test_a_stop_that_comes_between_a_claim_and_its_answer(disturbed, runner, handler, new_task):
    async def stop(task_id: str) -> None:
        await disturbed.stop(task_id)
        runner.stop(task_id)

    disturbed.claimed = stop
    assert await runner.run(assignment(await new_task())) == Stopped("stopped")
    assert handler.ran == 0


@pytest.mark.parametrize("reason", ["stopped", "timeout", "drain", "fenced"])
async def test_a_handler_that_is_cancelled_is_told_why(runner, handler, new_task, reason: str):
    told = []

    async def leave() -> None:
        told.append(sys.exc_info()[1].args)  # type: ignore[union-attr]

    handler.waits, handler.leaves = asyncio.Event(), leave
    task = await new_task()
    run = asyncio.create_task(runner.run(assignment(task)))
    await handler.began.wait()
    assert runner.stop(task, reason)
    await run
    assert told == [(reason,)]


async def test_word_of_an_earlier_stop_stops_nothing(disturbed, runner, handler, new_task):
    async def tell_late(task_id: str) -> None:
        runner.stop(task_id)

    disturbed.claimed = tell_late
    assert await runner.run(assignment(await new_task())) == Completed({"n": 1})
    assert handler.ran == 1


async def test_what_is_reported_while_postgresql_is_away_fails_no_run(disturbed, runner, handler, new_task, log_row):
    disturbed.away = 2
    task = await new_task()
    assert await runner.run(assignment(task)) == Completed({"n": 1})
    row = await log_row(task)
    assert (row["status"], row["progress"], row["result"]) == ("COMPLETED", 40, '{"n":1}')
    assert handler.ran == 1


#: Refuses the first such changes; a sequence remembers it beyond the transaction that is rolled back.
REFUSE = """
CREATE SEQUENCE refusals;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('refusals') <= {times} THEN
        RAISE EXCEPTION USING ERRCODE = '{code}', DETAIL = 'Failing row contains (all of its payload)';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON task_logs FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()
"""
REFUSALS = "SELECT last_value FROM refusals"
MEND = "DROP TRIGGER refuse ON task_logs"
#: A password, a full disk, a cancelled statement, files; then what only a person mends: a right, a column, a
#: constraint, a trigger; a transaction that has to be repeated, a lock, and an error of the server itself.
REFUSED_FOR = ["28P01", "53100", "57014", "58030", "42501", "42703", "23514", "P0001", "40001", "55P03", "XX000"]


@pytest.mark.parametrize("code", REFUSED_FOR)
@pytest.mark.parametrize("when", ["NEW.progress = 40", "NEW.status = 'COMPLETED'"], ids=["progress", "end"])
async def test_what_postgresql_does_not_take_now_is_reported_again_and_not_run_again(
    when, code, database, runner, handler, new_task, log_row
):
    await database.execute(REFUSE.format(code=code, when=when, times=1))
    task = await new_task()
    assert await runner.run(assignment(task)) == Completed({"n": 1})
    assert handler.ran == 1
    assert (await log_row(task))["status"] == "COMPLETED"
    assert await database.fetchval(REFUSALS) > 1, "it was refused"


async def test_a_failure_that_is_refused_is_kept_too(database, runner, handler, new_task, log_row):
    await database.execute(REFUSE.format(code="42501", when="NEW.status = 'FAILED'", times=1))
    handler.raises, task = ValueError("no model"), await new_task(max_attempts=1)
    assert await runner.run(assignment(task)) == Failed("no model", "ValueError", None)
    assert handler.ran == 1
    assert (await log_row(task))["error_message"] == "no model"


async def test_of_a_failure_whose_message_cannot_be_stored_the_rest_is(database, runner, handler, new_task, log_row):
    await database.execute(REFUSE.format(code="54000", when="NEW.error_message = 'endless'", times=2**31))
    handler.raises, task = ValueError("endless"), await new_task(max_attempts=1)
    outcome = await runner.run(assignment(task))
    assert isinstance(outcome, Failed)
    assert (outcome.error_type, outcome.retry_in, handler.ran) == ("ValueError", None, 1)
    assert (await log_row(task))["error_message"].startswith("ValueError; its message cannot be stored: ")


async def test_while_an_end_is_refused_its_claim_is_kept_and_an_operator_hears_of_it(
    database, runner, handler, new_task, caplog
):
    await database.execute(REFUSE.format(code="42501", when="NEW.status = 'COMPLETED'", times=2**31))
    task = await new_task()
    run = asyncio.create_task(runner.run(assignment(task)))
    await eventually(lambda: database.fetchval(REFUSALS), lambda refusals: refusals >= 3)
    await runner.compare()
    assert await database.fetchval("SELECT state FROM taskgate.dispatch") == "running"
    await database.execute(MEND)
    assert await run == Completed({"n": 1})
    assert handler.ran == 1
    (said,) = [record for record in caplog.records if record.name == "workers.outage_retry"]
    assert said.levelname == "ERROR"
    assert task in said.getMessage()
    assert "its payload" not in caplog.text, "PostgreSQL shows the row in its details"


async def test_an_end_that_is_refused_waits_no_longer_than_its_claim_is_held(database, runner, new_task):
    await database.execute(REFUSE.format(code="42501", when="NEW.status = 'COMPLETED'", times=2**31))
    run = asyncio.create_task(runner.run(assignment(await new_task())))
    await eventually(lambda: database.fetchval(REFUSALS), lambda refusals: refusals >= 2)
    # Its worker was taken for lost; and what asks is refused before it is found that there is no such claim.
    await database.execute("UPDATE taskgate.dispatch SET state = 'queued', worker_id = NULL")
    await database.execute("ALTER TABLE taskgate.attempt RENAME TO away")
    assert await run == Stopped("fenced")


async def test_what_a_handler_returned_is_kept_beyond_its_time_limit(database, runner, handler, new_task, log_row):
    await database.execute(REFUSE.format(code="42501", when="NEW.result IS NOT NULL", times=2**31))
    handler.returns, task = {"answer": 42}, await new_task(timeout_seconds=0.1)
    run = asyncio.create_task(runner.run(assignment(task)))
    await eventually(lambda: database.fetchval(REFUSALS), lambda refusals: refusals >= 4)  # 0.35 s at least
    await database.execute(MEND)
    assert await run == Completed({"answer": 42})
    row = await log_row(task)
    assert (row["status"], row["result"], handler.ran) == ("COMPLETED", '{"answer":42}', 1)


async def test_a_result_that_cannot_be_stored_fails_its_run(database, runner, handler, new_task, log_row):
    await database.execute(REFUSE.format(code="22P02", when="NEW.result IS NOT NULL", times=2**31))
    handler.returns, task = {"answer": 42}, await new_task(max_attempts=1)
    outcome = await runner.run(assignment(task))
    assert isinstance(outcome, Failed)
    assert (outcome.error_type, outcome.retry_in) == ("InvalidTextRepresentationError", None)
    assert (await log_row(task))["status"] == "FAILED"


async def test_what_an_isolated_handler_returned_is_kept_too(database, disturbed, lease, new_task, log_row, tmp_path):
    settings = Settings(database_url=database.url, handlers="workers.testing.misbehaving")
    isolated = IsolatedExecution(settings)
    runner = module.Runner(
        disturbed,
        ForeignTasks(database),
        load_registry(settings.handler_modules),
        None,
        lambda: lease.process_id,
        engine_retries=False,
        isolated=isolated,
    )
    await database.execute(REFUSE.format(code="42501", when="NEW.result IS NOT NULL", times=2**31))
    journal, task = tmp_path / "journal", await new_task()
    await database.execute("UPDATE taskgate.dispatch SET task_type = 'isolated_return_a_dict'")
    offered = Assignment(task, "redis", 1, {"journal": str(journal)}, "isolated_return_a_dict", "g")
    run = asyncio.create_task(runner.run(offered))
    try:
        await eventually(lambda: database.fetchval(REFUSALS), lambda refusals: refusals >= 3)
        await database.execute(MEND)
        assert await run == Completed({"answer": 42})
    finally:
        await isolated.close()
    assert (await log_row(task))["result"] == '{"answer":42}'
    assert [json.loads(line)["event"] for line in journal.read_text().splitlines()] == ["start", "end"]


async def test_a_claim_whose_answer_is_lost_is_taken_up(database, disturbed, runner, handler, new_task):
    disturbed.answers_lost = 2
    assert await runner.run(assignment(await new_task())) == Completed({"n": 1})
    assert handler.ran == 1
    assert await database.fetchval("SELECT count(*) FROM taskgate.attempt") == 1


async def test_a_copy_beside_a_run_is_not_run(runner, handler, new_task):
    handler.waits, task = asyncio.Event(), await new_task()
    first = asyncio.create_task(runner.run(assignment(task)))
    await handler.began.wait()
    assert isinstance(await runner.run(assignment(task)), Refused)
    handler.waits.set()
    assert await first == Completed({"n": 1})
    assert handler.ran == 1


async def test_a_claim_that_is_cancelled_before_its_answer_is_given_back(
    database, disturbed, runner, handler, new_task
):
    granted, answer = asyncio.Event(), asyncio.Event()

    async def hold(task_id: str) -> None:
        granted.set()
        await answer.wait()

    disturbed.claimed = hold
    run = asyncio.create_task(runner.run(assignment(await new_task())))
    await granted.wait()
    run.cancel()
    answer.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert await database.fetchval("SELECT state FROM taskgate.dispatch") == "queued"
    assert handler.ran == 0


async def test_a_claim_that_comes_after_the_loss_of_its_lease_is_given_back(
    database, disturbed, runner, handler, lease, new_task, new_worker
):
    """A connection hung: the claim was granted when it went on, under a name that the process had given up. Nobody
    cancels its run when that lease ends, and the task runs elsewhere.
    """

    async def lose(task_id: str) -> None:
        runner.suspend()
        await runner.wait_idle()
        lease.process_id = await new_worker("w2")
        runner.resume()

    disturbed.claimed = lose
    assert isinstance(await runner.run(assignment(await new_task())), Refused)
    assert handler.ran == 0
    assert await database.fetchval("SELECT state FROM taskgate.dispatch") == "queued"


async def test_a_row_that_nothing_here_runs_is_handed_back(database, disturbed, runner, new_task):
    task = await new_task()
    assert await disturbed.claim(task, "redis", 1, "w1", with_payload=False)
    await runner.compare()
    assert await database.fetchval("SELECT state FROM taskgate.dispatch") == "queued"


async def test_what_runs_or_asks_is_not_handed_back(database, disturbed, runner, handler, new_task):
    handler.waits = asyncio.Event()
    granted, answer = asyncio.Event(), asyncio.Event()

    async def hold(task_id: str) -> None:
        granted.set()
        await answer.wait()

    disturbed.claimed = hold
    run = asyncio.create_task(runner.run(assignment(await new_task())))
    await granted.wait()
    await runner.compare()
    answer.set()
    await handler.began.wait()
    await runner.compare()
    assert await database.fetchval("SELECT state FROM taskgate.dispatch") == "running"
    handler.waits.set()
    assert await run == Completed({"n": 1})


async def test_a_run_that_lost_its_claim_is_cancelled(database, runner, handler, new_task):
    handler.waits = asyncio.Event()
    run = asyncio.create_task(runner.run(assignment(await new_task())))
    await handler.began.wait()
    await database.execute("UPDATE taskgate.dispatch SET attempt = attempt + 1")
    await runner.compare()
    assert await run == Stopped("fenced")


async def test_a_run_that_its_engine_takes_back_is_handed_back_when_the_handler_is_out_of_it(
    database, disturbed, runner, handler, new_task, monkeypatch
):
    """Else the next attempt would begin beside it."""
    monkeypatch.setattr(module, "CANCEL_GRACE", 30.0)
    handler.waits, task, order = asyncio.Event(), await new_task(), []
    read = "SELECT state FROM taskgate.dispatch"

    async def leave() -> None:
        order.append(await database.fetchval(read))
        order.append("left")

    handler.leaves = leave
    disturbed.handed_back = lambda: order.append("handed back")
    run = asyncio.create_task(runner.run(assignment(task)))
    await handler.began.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert order == ["running", "left", "handed back"]
    assert await database.fetchval(read) == "queued"
    assert await database.fetchval("SELECT outcome FROM taskgate.attempt") == "lost"


async def test_a_run_that_its_engine_takes_back_after_its_end_is_reported_all_the_same(
    database, disturbed, runner, handler, new_task
):
    """PostgreSQL was away when it ended: what it did must not be done again."""
    disturbed.away_at_end = 1
    run = asyncio.create_task(runner.run(assignment(await new_task())))
    await disturbed.failed.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert await database.fetchval("SELECT state FROM taskgate.dispatch") == "completed"
    assert await database.fetchval("SELECT outcome FROM taskgate.attempt") == "completed"
    assert handler.ran == 1


@pytest.mark.parametrize(
    "offered",
    [
        Assignment("t", "redis", 1, {"content": "x", "timestamp": 1.5}, "probe", "g"),
        Assignment("t", "temporal", 1, {"content": "x"}, "probe", "g"),
        Assignment("t", "temporal", 1, None, "probe", "g"),
    ],
)
async def test_the_payload_has_the_same_keys_however_it_came(runner, handler, new_task, offered):
    await new_task(task_id="t", backend=offered.backend)
    assert await runner.run(offered) == Completed({"n": 1})
    types = {name: type(value).__name__ for name, value in handler.payload.items()}
    assert types == {
        "content": "str",
        "group_id": "str",
        "task_id": "str",
        "task_type": "str",
        "timestamp": "float",
    }


@pytest.mark.parametrize(("attempts", "level"), [(3, "WARNING"), (1, "ERROR")])
async def test_a_failure_is_logged_once_with_its_message(runner, handler, new_task, caplog, attempts, level):
    handler.raises = ValueError("the model is away")
    task = await new_task(max_attempts=attempts, payload={"content": "private words"})
    await runner.run(Assignment(task, "redis", 1, None, "probe", "g"))
    records = [record for record in caplog.records if "the model is away" in record.getMessage()]
    assert [record.levelname for record in records] == [level]
    assert task in records[0].getMessage()
    assert "private words" not in caplog.text


async def test_a_run_that_its_engine_would_cut_off_fails_before_that(database, log_row, runner, handler, new_task):
    """The handler has ten minutes, and Temporal allows less: it would begin the task anew for ever."""
    handler.waits = asyncio.Event()
    task = await new_task(backend="temporal", max_attempts=1)
    outcome = await runner.run(Assignment(task, "temporal", 1, {}, "probe", "g", limit_seconds=0.6))
    assert isinstance(outcome, Failed)
    assert (outcome.error_type, outcome.retry_in) == ("TimeoutError", None)
    assert outcome.error == (await log_row(task))["error_message"]
    assert outcome.error.startswith("Task timed out after 1 seconds: its handler has a limit of 600,")
    assert await database.fetchval("SELECT failures FROM taskgate.dispatch") == 1


@pytest.mark.parametrize("own", [10.0, None], ids=["a short limit", "a limit beyond the engine's"])
async def test_a_claim_that_waited_for_postgresql_takes_no_time_from_its_handler(
    database, disturbed, runner, handler, new_task, monkeypatch, own
):
    """The task is offered again, with all of its time."""
    loop = asyncio.get_running_loop()
    clock = loop.time

    async def wait(task_id: str) -> None:
        monkeypatch.setattr(loop, "time", lambda: clock() + 45)

    disturbed.claimed = wait
    task = await new_task(backend="temporal", max_attempts=1, timeout_seconds=own)
    offered = Assignment(task, "temporal", 1, {}, "probe", "g", limit_seconds=40.0)
    outcome = await runner.run(offered)
    assert isinstance(outcome, Refused)
    assert outcome.retry_in is not None
    row = await database.fetchrow("SELECT state, failures FROM taskgate.dispatch")
    assert (row["state"], row["failures"], handler.ran) == ("queued", 0, 0)
    disturbed.claimed = None
    assert await runner.run(offered) == Completed({"n": 1})


async def test_a_handlers_own_limit_is_the_shorter_one(runner, handler, new_task):
    handler.waits = asyncio.Event()
    task = await new_task(backend="temporal", max_attempts=1, timeout_seconds=0.1)
    outcome = await runner.run(Assignment(task, "temporal", 1, {}, "probe", "g", limit_seconds=60.0))
    assert outcome == Failed("Task timed out after 0.1 seconds", "TimeoutError", None)


async def test_a_handler_that_ignores_its_time_limit_is_abandoned(monkeypatch, log_row, runner, handler, new_task):
    monkeypatch.setattr(module, "CANCEL_GRACE", 0.05)
    handler.waits, over = asyncio.Event(), asyncio.Event()

    async def stay() -> None:
        await over.wait()

    handler.leaves = stay
    task = await new_task(timeout_seconds=0.1, max_attempts=1)
    outcome = await runner.run(assignment(task))
    over.set()
    assert outcome == Failed("Task timed out after 0.1 seconds", "TimeoutError", None)
    assert (await log_row(task))["error_message"] == "Task timed out after 0.1 seconds"
    await runner.wait_idle()
