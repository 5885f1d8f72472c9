"""What the activity tells Temporal of each outcome."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from backends.redis_queue.wire import TYPES
from backends.temporal.messages import RunTask
from backends.temporal.payloads import RESULT_ELSEWHERE
from backends.temporal.starts import TIMEOUT_MARGIN
from workers.outcome import FENCED, Assignment, Completed, Failed, Kept, Outcome, Refused, Stopped
from workers.temporal.activities import RunTaskActivity, beat_interval
from workers.temporal.slots import SharedSlots
from workers.testing.scripted import ScriptedRunner

MESSAGE = RunTask("t1", 2, "add_episode", "g", {"a": 1})


class Answering:
    """A runner that knows its answer."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.seen: list[Assignment] = []

    async def run(self, assignment: Assignment) -> Outcome:
        self.seen.append(assignment)
        return self.outcome


async def run(outcome: Outcome) -> Any:
    return await ActivityEnvironment().run(RunTaskActivity(Answering(outcome), SharedSlots(1)).run_task, MESSAGE)


async def failure(outcome: Outcome) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await run(outcome)
    return caught.value


async def test_the_runner_is_given_the_assignment() -> None:
    runner = Answering(Completed())
    await ActivityEnvironment().run(RunTaskActivity(runner, SharedSlots(1)).run_task, MESSAGE)
    assert runner.seen == [Assignment("t1", "temporal", 2, {"a": 1}, "add_episode", "g", 1)]


async def test_the_runner_has_time_to_report_a_run_that_temporal_would_cut_off() -> None:
    """Offered again as if its worker were lost, it never counted as failed, and began anew for ever."""
    runner, environment = Answering(Completed()), ActivityEnvironment()
    allowed = TYPES["add_episode"].timeout
    environment.info = replace(environment.info, start_to_close_timeout=allowed + TIMEOUT_MARGIN)
    await environment.run(RunTaskActivity(runner, SharedSlots(1)).run_task, MESSAGE)
    limit = runner.seen[0].limit_seconds
    assert limit is not None
    assert allowed < timedelta(seconds=limit) < allowed + TIMEOUT_MARGIN, "a handler's own limit comes first"


async def test_completed() -> None:
    assert await run(Completed({"n": 1})) == {"n": 1}
    assert await run(Completed()) is None
    assert await run(Completed({"text": "x" * 2_000_000})) == RESULT_ELSEWHERE


async def test_failed_for_good() -> None:
    error = await failure(Failed("boom", "ValueError"))
    assert (error.message, error.type, error.non_retryable) == ("boom", "ValueError", True)


async def test_failed_for_now() -> None:
    error = await failure(Failed("boom", "ValueError", timedelta(seconds=7)))
    assert (error.type, error.non_retryable, error.next_retry_delay) == ("ValueError", False, timedelta(seconds=7))


async def test_a_delay_is_never_zero() -> None:
    """Zero would mean: as the retry policy says."""
    for outcome in (Failed("boom", "E", timedelta()), Refused("held", timedelta())):
        assert (await failure(outcome)).next_retry_delay == timedelta(milliseconds=1)


async def test_long_errors_are_cut() -> None:
    assert len((await failure(Failed("x" * 1_000_000, "E"))).message) < 10_000


async def test_refused() -> None:
    later = await failure(Refused("another attempt holds the claim", timedelta(seconds=1)))
    assert (later.type, later.non_retryable, later.next_retry_delay) == ("Refused", False, timedelta(seconds=1))
    never = await failure(Refused("stopped"))
    assert (never.type, never.non_retryable) == ("Superseded", True)


async def test_what_goes_on_in_a_worker_that_ends_is_offered_again() -> None:
    error = await failure(Kept())
    assert (error.non_retryable, error.next_retry_delay) == (False, timedelta(seconds=1))


async def test_stopped_by_way_of_postgresql() -> None:
    error = await failure(Stopped("stopped"))
    assert (error.type, error.non_retryable) == ("Stopped", True)


async def test_a_fenced_run_is_offered_again() -> None:
    error = await failure(Stopped(FENCED))
    assert (error.non_retryable, error.next_retry_delay) == (False, timedelta(milliseconds=1))


async def test_cancelled_by_temporal() -> None:
    runner, environment = ScriptedRunner(), ActivityEnvironment()
    running = asyncio.create_task(_env_run(environment, RunTaskActivity(runner, SharedSlots(1))))
    offered = await runner.next()
    environment.cancel(cancellation_details=ActivityCancellationDetails(cancel_requested=True))
    with pytest.raises(asyncio.CancelledError):
        await running
    assert offered.cancelled.is_set()


async def test_stopped_after_temporals_cancel_is_a_cancellation() -> None:
    class Reporting:
        """Swallows its cancellation and says what became of the task."""

        def __init__(self) -> None:
            self.began = asyncio.Event()

        async def run(self, assignment: Assignment) -> Outcome:
            self.began.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return Stopped("Task stopped by user")
            raise AssertionError

    runner, environment = Reporting(), ActivityEnvironment()
    running = asyncio.create_task(_env_run(environment, RunTaskActivity(runner, SharedSlots(1))))
    await runner.began.wait()
    environment.cancel(cancellation_details=ActivityCancellationDetails(cancel_requested=True))
    with pytest.raises(asyncio.CancelledError):
        await running


GIVEN_UP = [ActivityCancellationDetails(not_found=True), ActivityCancellationDetails(timed_out=True)]


@pytest.mark.parametrize("details", GIVEN_UP, ids=["unknown", "timed out"])
async def test_a_run_that_temporal_gives_up_goes_on(details: ActivityCancellationDetails) -> None:
    """Its heartbeats did not arrive, which says nothing of the handler; PostgreSQL knows who holds the task."""
    runner, environment = ScriptedRunner(), ActivityEnvironment()
    activity = RunTaskActivity(runner, SharedSlots(1))
    running = asyncio.create_task(_env_run(environment, activity))
    offered = await runner.next()
    environment.cancel(cancellation_details=details)
    await _a_few_turns()
    assert not offered.cancelled.is_set()
    assert activity.running == 1, "it still uses its slot"
    offered.finish(Completed({"n": 1}))
    assert await running == {"n": 1}


@pytest.mark.parametrize("details", GIVEN_UP, ids=["unknown", "timed out"])
async def test_a_run_that_temporal_has_given_up_ends_with_its_worker(details: ActivityCancellationDetails) -> None:
    runner, environment = ScriptedRunner(), ActivityEnvironment()
    activity = RunTaskActivity(runner, SharedSlots(1))
    running = asyncio.create_task(_env_run(environment, activity))
    offered = await runner.next()
    environment.cancel(cancellation_details=details)
    await _a_few_turns()
    await activity.leave(timedelta())
    with pytest.raises(ApplicationError):
        await running
    assert offered.cancelled.is_set()
    assert activity.running == 0


async def test_a_stop_reaches_a_run_that_temporal_has_given_up_by_postgresql() -> None:
    runner, environment = ScriptedRunner(), ActivityEnvironment()
    running = asyncio.create_task(_env_run(environment, RunTaskActivity(runner, SharedSlots(1))))
    offered = await runner.next()
    environment.cancel(cancellation_details=GIVEN_UP[0])
    await _a_few_turns()
    offered.finish(Stopped("stopped"))
    with pytest.raises(ApplicationError) as caught:
        await running
    assert (caught.value.type, caught.value.non_retryable) == ("Stopped", True)


async def test_what_outlasts_the_grace_runs_again_elsewhere() -> None:
    runner, environment = ScriptedRunner(), ActivityEnvironment()
    activity = RunTaskActivity(runner, SharedSlots(1))
    running = asyncio.create_task(_env_run(environment, activity))
    await runner.next()
    assert activity.running == 1
    await activity.leave(timedelta())
    with pytest.raises(ApplicationError) as caught:
        await running
    assert (caught.value.type, caught.value.next_retry_delay) == ("Refused", timedelta(milliseconds=1))
    assert activity.running == 0


async def test_what_ends_within_the_grace_is_told() -> None:
    runner, environment = ScriptedRunner(), ActivityEnvironment()
    activity = RunTaskActivity(runner, SharedSlots(1))
    running = asyncio.create_task(_env_run(environment, activity))
    offered = await runner.next()
    leaving = asyncio.create_task(activity.leave(timedelta(seconds=60)))
    offered.finish(Completed({"n": 1}))
    assert await running == {"n": 1}
    await leaving


async def test_what_comes_too_late_goes_back_at_once() -> None:
    activity = RunTaskActivity(ScriptedRunner(), SharedSlots(1))
    activity.close()
    with pytest.raises(ApplicationError) as caught:
        await ActivityEnvironment().run(activity.run_task, MESSAGE)
    assert caught.value.next_retry_delay == timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("running", "timeout", "interval"),
    [(1, 30, 5), (20, 30, 5), (32, 30, 8), (1000, 30, 10), (1000, 120, 40), (1, 6, 2)],
)
def test_a_process_spends_a_fixed_budget_on_heartbeats(running: int, timeout: int, interval: float) -> None:
    assert beat_interval(running, timedelta(seconds=timeout)) == pytest.approx(interval)


async def _env_run(environment: ActivityEnvironment, activity: RunTaskActivity) -> Any:
    return await environment.run(activity.run_task, MESSAGE)


async def _a_few_turns() -> None:
    """For the loop to carry out what is due."""
    for _ in range(5):
        await asyncio.sleep(0)
