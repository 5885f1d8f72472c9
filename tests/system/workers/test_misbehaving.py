"""Handlers that do what they must not do: what becomes of their task, their worker, and the tasks beside them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.tasks.queries.task_row import Status

pytestmark = pytest.mark.parametrize("backend", ["redis"], indirect=True, scope="module")

#: Longer than the lease of these workers.
PAST_THE_LEASE = 3.0


async def failure(fleet: Any, task_type: str, **payload: Any) -> str:
    """The message of a task that fails at its one attempt."""
    row = await fleet.ended(await fleet.submit(task_type, attempts=1, **payload))
    assert row.status == Status.FAILED
    return str(row.error_message)


async def completes(fleet: Any, task_type: str, **payload: Any) -> Any:
    """Its row; it was run once."""
    task_id = await fleet.submit(task_type, **payload)
    row = await fleet.ended(task_id)
    assert (row.status, await fleet.attempts(task_id)) == (Status.COMPLETED, ["completed"]), row.error_message
    return row


async def pids(fleet: Any) -> list[int]:
    return [worker.pid for worker in fleet.workers]


@pytest.mark.parametrize("kind", ["", "isolated_"])
@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("raise_a_base_exception", "not caught by most"),
        ("exit_politely", "The handler tried to end its process: SystemExit"),
        ("report_what_is_no_json", "no text either"),
        ("close_itself", "closed"),
        ("stop_an_iteration", "The handler raised StopIteration"),
        ("run_into_its_own_limit", "TimeoutError"),
    ],
)
async def test_what_it_raises_fails_its_task_alone(fleet: Any, kind: str, function: str, message: str) -> None:
    before = await pids(fleet)
    assert message in await failure(fleet, f"{kind}{function}")
    assert await pids(fleet) == before


async def test_a_handler_that_ends_its_process_takes_its_worker_with_it_and_is_given_up(fleet: Any) -> None:
    task_id = await fleet.submit("end_the_process")
    row = await fleet.ended(task_id)
    assert row.error_message == "3 workers in a row were lost while they ran this task"
    assert await fleet.attempts(task_id) == ["lost", "lost", "failed"]
    await fleet.whole()


async def test_in_a_process_of_its_own_it_takes_nobody_with_it(fleet: Any) -> None:
    before = await pids(fleet)
    assert await failure(fleet, "isolated_end_the_process") == "The process of the handler ended with code 9"
    assert await pids(fleet) == before


@pytest.mark.parametrize("kind", ["", "isolated_"])
async def test_a_copy_that_a_handler_forks_ends_with_it(fleet: Any, kind: str) -> None:
    row = await completes(fleet, f"{kind}fork")
    journal = fleet.journal(row.id)
    assert [event.event for event in journal if event.pid == journal[0].pid] == ["start", "end"]


async def test_what_uses_too_much_memory_fails_alone(fleet: Any) -> None:
    before = await pids(fleet)
    assert "of 400" in await failure(fleet, "isolated_leak")
    assert await pids(fleet) == before


@pytest.mark.parametrize("function", ["block_the_loop", "hold_the_interpreter", "block_a_thread"])
async def test_in_a_process_of_its_own_it_may_block_for_longer_than_a_lease(fleet: Any, function: str) -> None:
    before = await pids(fleet)
    await completes(fleet, f"isolated_{function}", seconds=PAST_THE_LEASE)
    assert await pids(fleet) == before


async def test_a_blocked_event_loop_does_not_lose_the_lease(fleet: Any) -> None:
    before = await pids(fleet)
    await completes(fleet, "block_the_loop", seconds=PAST_THE_LEASE)
    assert await pids(fleet) == before


async def test_an_interpreter_that_is_held_does_not_lose_the_lease_before_its_end(fleet: Any) -> None:
    """The lease of these workers is 2.5 s; 15 s by default, for 10 s of holding."""
    before = await pids(fleet)
    await completes(fleet, "hold_the_interpreter", seconds=1.2)
    assert await pids(fleet) == before


async def test_a_plain_function_runs_in_a_thread_and_reports(fleet: Any) -> None:
    row = await completes(fleet, "block_a_thread", seconds=0.1)
    assert row.result == '{"from":"a thread"}'


@pytest.mark.parametrize("kind", ["", "isolated_"])
@pytest.mark.parametrize(("progress", "shown"), [(150, 100), (-5, 0), ("50", 50)])
async def test_what_it_reports_on_the_way_is_made_to_fit(fleet: Any, kind: str, progress: object, shown: int) -> None:
    row = await completes(fleet, f"{kind}report_nonsense", progress=progress)
    assert (row.progress, row.message) == (shown, "m\\0")


@pytest.mark.parametrize("kind", ["", "isolated_"])
@pytest.mark.parametrize(("function", "result"), [("return_a_dict", '{"answer":42}'), ("return_a_number", None)])
async def test_a_returned_dict_is_its_result(fleet: Any, kind: str, function: str, result: str | None) -> None:
    assert (await completes(fleet, f"{kind}{function}")).result == result


@pytest.mark.parametrize("kind", ["", "isolated_"])
async def test_a_gigabyte_of_log_is_only_a_long_log(fleet: Any, kind: str) -> None:
    before = await pids(fleet)
    await completes(fleet, f"{kind}write_a_gigabyte")
    assert await pids(fleet) == before


@pytest.mark.parametrize("function", ["ignore_cancellation", "isolated_ignore_cancellation", "isolated_block_the_loop"])
async def test_it_is_stopped_whatever_it_does(fleet: Any, function: str) -> None:
    task_id = await fleet.submit(function, seconds=6)
    await fleet.started(task_id)
    await fleet.gateway.transitions.stop(task_id)
    row = await fleet.ended(task_id)
    assert (row.status, row.error_message) == (Status.FAILED, "Task stopped by user")
    beside = await fleet.submit("sleep")
    assert (await fleet.ended(beside)).status == Status.COMPLETED


async def test_a_handler_that_never_returns_is_timed_out(fleet: Any) -> None:
    message = await failure(fleet, "never_returns")
    assert message == "Task timed out after 1 seconds"
    assert await failure(fleet, "isolated_never_returns") == message
