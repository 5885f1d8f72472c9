"""`OperationService`, dead letters by filter, and tasks by any of their properties."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from taskgate.v1 import (
    AbortOperationRequest,
    DescribeRequest,
    DismissDeadLettersRequest,
    GetOperationRequest,
    LetterFilter,
    ListDeadLettersRequest,
    ListOperationsRequest,
    OperationAction,
    OperationState,
    PurgeDeadLettersRequest,
    QueueDepthRequest,
    RedriveDeadLettersRequest,
    SelectRequest,
    SetRunTimeRequest,
    StartOperationRequest,
    StatusBreakdownRequest,
    TaskSelection,
    TaskState,
    TaskStatus,
)

Code = grpc.StatusCode


async def over(face: Any, operations: Any, operation_id: str) -> Any:
    """The operation, once it has ended."""
    runner = asyncio.create_task(face.gateway.operation_runner.run())
    try:
        async with asyncio.timeout(20):
            while True:
                request = GetOperationRequest(operation_id=operation_id)
                found = (await operations.GetOperation(request, metadata=face.ann)).operation
                if found.state != OperationState.OPERATION_STATE_RUNNING:
                    return found
    finally:
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)


async def test_a_dry_run_then_the_operation(face: Any, operations: Any, refusal: Any) -> None:
    mine = [await face.submit(labels={"batch": "b"}) for _ in range(3)]
    await face.submit("bob", labels={"batch": "b"})
    request = StartOperationRequest(
        action=OperationAction.OPERATION_ACTION_CANCEL, filter=TaskSelection(labels={"batch": "b"}), why="test"
    )

    dry = StartOperationRequest(dry_run=True)
    dry.MergeFrom(request)
    said = (await operations.StartOperation(dry, metadata=face.ann)).operation
    begun = (await operations.StartOperation(request, metadata=face.ann)).operation
    done = await over(face, operations, begun.operation_id)

    assert (said.dry_run, said.total, set(said.sample)) == (True, 3, set(mine))
    assert (done.state, done.total, done.done, done.why) == (OperationState.OPERATION_STATE_COMPLETED, 3, 3, "test")
    assert (list(done.tenant_ids), done.filter["labels"]["batch"]) == (["t-ann"], "b")
    listed = await operations.ListOperations(ListOperationsRequest(), metadata=face.ann)
    assert begun.operation_id in {operation.operation_id for operation in listed.operations}
    for call, about in (
        (operations.GetOperation, GetOperationRequest),
        (operations.AbortOperation, AbortOperationRequest),
    ):
        refused = await refusal(call(about(operation_id=begun.operation_id), metadata=face.bob))
        assert refused.code is Code.NOT_FOUND


async def test_an_operation_is_aborted(face: Any, operations: Any) -> None:
    await face.submit(task_type="slow")
    request = StartOperationRequest(
        action=OperationAction.OPERATION_ACTION_REPRIORITISE, priority=1, filter=TaskSelection(type=["slow"])
    )
    begun = (await operations.StartOperation(request, metadata=face.ann)).operation
    about = AbortOperationRequest(operation_id=begun.operation_id)
    aborted = (await operations.AbortOperation(about, metadata=face.ann)).operation
    assert (aborted.state, aborted.priority) == (OperationState.OPERATION_STATE_ABORTED, 1)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (StartOperationRequest(filter=TaskSelection(type=["a"])), "action"),
        (StartOperationRequest(action=1), "filter"),
        (StartOperationRequest(action=9, filter=TaskSelection(type=["a"])), "action"),
        (StartOperationRequest(action=1, priority=2, filter=TaskSelection(type=["a"])), "priority"),
        (StartOperationRequest(action=4, priority=9, filter=TaskSelection(type=["a"])), "priority"),
        (StartOperationRequest(action=1, filter=TaskSelection(state=[99])), "filter.state[0]"),
        (StartOperationRequest(action=1, filter=TaskSelection(type=["\0"])), "filter.type[0]"),
        (StartOperationRequest(action=1, why="w" * 1001, filter=TaskSelection(type=["a"])), "why"),
    ],
)
async def test_bad_operations(face: Any, operations: Any, refusal: Any, request_: Any, field: str) -> None:
    refused = await refusal(operations.StartOperation(request_, metadata=face.ann))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, [field])


async def dead(face: Any, name: str = "ann") -> str:
    task_id = await face.submit(name)
    await face.fail(task_id, "disk full")
    return str(task_id)


async def test_dead_letters_by_filter(face: Any, operations: Any, letters: Any) -> None:
    mine = [await dead(face) for _ in range(3)]
    foreign = await dead(face, "bob")
    which = LetterFilter(error="disk")

    dry = await letters.PurgeDeadLetters(PurgeDeadLettersRequest(filter=which, dry_run=True), metadata=face.ann)
    assert (dry.matched, dry.removed) == (3, 0)
    step = await letters.DismissDeadLetters(DismissDeadLettersRequest(filter=which, limit=1), metadata=face.ann)
    assert (step.matched, step.removed, bool(step.next_page_token)) == (1, 1, True)
    said = await letters.RedriveDeadLetters(RedriveDeadLettersRequest(filter=which, dry_run=True), metadata=face.ann)
    assert (said.operation.total, said.operation.dry_run) == (2, True)
    begun = await letters.RedriveDeadLetters(RedriveDeadLettersRequest(filter=which), metadata=face.ann)
    done = await over(face, operations, begun.operation.operation_id)
    assert (done.done, done.action) == (2, OperationAction.OPERATION_ACTION_REDRIVE)

    await face.fail(mine[0])
    every = PurgeDeadLettersRequest(filter=LetterFilter(), why="test")
    purged = await letters.PurgeDeadLetters(every, metadata=face.ann)
    assert (purged.matched, purged.removed) == (1, 1)
    left = await letters.ListDeadLetters(ListDeadLettersRequest(), metadata=face.root)
    assert [letter.id for letter in left.dead_letters] == [foreign]


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("RedriveDeadLetters", RedriveDeadLettersRequest(why="x"), "filter"),
        ("DismissDeadLetters", DismissDeadLettersRequest(why="x"), "filter"),
        ("PurgeDeadLetters", PurgeDeadLettersRequest(why="x"), "filter"),
        ("RedriveDeadLetters", RedriveDeadLettersRequest(filter=LetterFilter(), backend="paper"), "backend"),
        ("RedriveDeadLetters", RedriveDeadLettersRequest(filter=LetterFilter(kind=9)), "filter.kind"),
        ("DismissDeadLetters", DismissDeadLettersRequest(filter=LetterFilter(), limit=0), "limit"),
        ("PurgeDeadLetters", PurgeDeadLettersRequest(filter=LetterFilter(), limit=1001), "limit"),
        ("PurgeDeadLetters", PurgeDeadLettersRequest(filter=LetterFilter(), page_token="?"), "page_token"),
    ],
)
async def test_bad_filters(face: Any, letters: Any, refusal: Any, method: str, request_: Any, field: str) -> None:
    refused = await refusal(getattr(letters, method)(request_, metadata=face.ann))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, [field])


async def test_tasks_by_their_properties(face: Any, refusal: Any) -> None:
    mine = [await face.submit(labels={"n": str(n)}, priority=2) for n in range(3)]
    await face.submit("bob", priority=2)
    await face.finish(mine[0])

    async def selected(size: int = 0, token: str = "", **which: Any) -> Any:
        request = SelectRequest(page_size=size, page_token=token, filter=TaskSelection(**which))
        return await face.tasks.Select(request, metadata=face.ann)

    assert [task.task_id for task in (await selected()).tasks] == mine[::-1]
    first = await selected(2, priority=[2])
    rest = await selected(2, first.next_page_token, priority=[2])
    assert [task.task_id for task in (*first.tasks, *rest.tasks)] == mine[::-1]
    assert not rest.next_page_token
    assert [task.task_id for task in (await selected(state=[TaskState.TASK_STATE_COMPLETED])).tasks] == [mine[0]]
    assert [task.task_id for task in (await selected(labels={"n": "1"})).tasks] == [mine[1]]
    assert [task.task_id for task in (await selected(ids=[mine[2]])).tasks] == [mine[2]]
    refused = await refusal(selected(2, first.next_page_token))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["page_token"])
    assert (await refusal(selected(tenant_id="t-bob"))).code is Code.PERMISSION_DENIED


async def test_a_task_is_described(face: Any, refusal: Any) -> None:
    task_id = await face.submit(labels={"a": "b"}, unique_key="u")
    waiting = await face.tasks.Describe(DescribeRequest(task_id=task_id), metadata=face.ann)
    assert waiting.waiting_because.startswith("stage off asks for redis")
    await face.fail(task_id)

    shown = await face.tasks.Describe(DescribeRequest(task_id=task_id), metadata=face.ann)

    facts = shown.facts
    assert not shown.HasField("waiting_because")
    assert (facts.task_id, facts.status, facts.state) == (
        task_id,
        TaskStatus.TASK_STATUS_FAILED,
        TaskState.TASK_STATE_FAILED,
    )
    assert (dict(facts.labels), facts.unique_key, facts.tenant_id, facts.error) == ({"a": "b"}, "u", "t-ann", "boom")
    assert [(attempt.attempt, attempt.outcome, attempt.worker_id) for attempt in shown.attempts] == [
        (1, "failed", "w1")
    ]
    refused = await refusal(face.tasks.Describe(DescribeRequest(task_id=task_id), metadata=face.bob))
    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "TASK_NOT_FOUND")


async def test_another_time_for_a_task(face: Any, refusal: Any) -> None:
    task_id = await face.submit()
    request = SetRunTimeRequest(task_id=task_id)
    refused = await refusal(face.tasks.SetRunTime(request, metadata=face.ann))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["run_at"])
    request.delay.seconds = 3600
    answer = await face.tasks.SetRunTime(request, metadata=face.ann)
    assert timedelta(minutes=59) < answer.run_at.ToDatetime(UTC) - datetime.now(UTC) <= timedelta(hours=1)
    assert (await refusal(face.tasks.SetRunTime(request, metadata=face.bob))).code is Code.NOT_FOUND
    await face.finish(task_id)
    assert (await refusal(face.tasks.SetRunTime(request, metadata=face.ann))).code is Code.FAILED_PRECONDITION


async def test_figures_of_the_last_day(face: Any) -> None:
    await face.submit("bob")
    await face.finish(await face.submit())
    await face.submit()
    depth = await face.tasks.QueueDepth(QueueDepthRequest(), metadata=face.ann)
    assert (len(depth.points), depth.points[-1].depth) == (9, 1)
    found = await face.tasks.StatusBreakdown(StatusBreakdownRequest(), metadata=face.ann)
    assert (found.completed, found.pending, found.failed, found.processing) == (1, 1, 0, 0)
