"""Retry and Stop."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from taskgate.v1 import GetRequest, RetryRequest, StopRequest, TaskStatus

Code = grpc.StatusCode


async def test_stop_and_retry(face: Any) -> None:
    task_id = await face.submit()

    stopped = (await face.tasks.Stop(StopRequest(task_id=task_id), metadata=face.ann)).task
    retried = (await face.tasks.Retry(RetryRequest(task_id=task_id), metadata=face.ann)).task

    assert (stopped.status, stopped.error) == (TaskStatus.TASK_STATUS_FAILED, "Task stopped by user")
    assert stopped.HasField("completed_at")
    assert (retried.status, retried.retries) == (TaskStatus.TASK_STATUS_PENDING, 1)
    assert not retried.HasField("error")


async def test_what_cannot_be_done_now_is_a_failed_precondition(face: Any, refusal: Any) -> None:
    task_id = await face.submit()
    retry = await refusal(face.tasks.Retry(RetryRequest(task_id=task_id), metadata=face.ann))
    await face.finish(task_id)
    stop = await refusal(face.tasks.Stop(StopRequest(task_id=task_id), metadata=face.ann))

    assert (retry.code, retry.reason) == (Code.FAILED_PRECONDITION, "TASK_NOT_RETRYABLE")
    assert (stop.code, stop.reason) == (Code.FAILED_PRECONDITION, "TASK_NOT_STOPPABLE")


@pytest.mark.parametrize("method", ["Retry", "Stop"])
async def test_another_tenants_task_cannot_be_steered(face: Any, refusal: Any, method: str) -> None:
    task_id = await face.submit("bob")
    request = {"Retry": RetryRequest, "Stop": StopRequest}[method](task_id=task_id)

    refused = await refusal(getattr(face.tasks, method)(request, metadata=face.ann))

    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "TASK_NOT_FOUND")
    task = (await face.tasks.Get(GetRequest(task_id=task_id), metadata=face.bob)).task
    assert task.status == TaskStatus.TASK_STATUS_PENDING


async def test_two_retries_at_once_are_one(face: Any) -> None:
    task_id = await face.submit()
    await face.fail(task_id)

    calls = [face.tasks.Retry(RetryRequest(task_id=task_id), metadata=face.ann) for _ in range(4)]
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    task = (await face.tasks.Get(GetRequest(task_id=task_id), metadata=face.ann)).task
    assert task.retries == 1


async def test_a_stop_whose_client_leaves_is_carried_out_and_told(face: Any) -> None:
    """The client gives up while the row is locked; the stop happens all the same, and those who watch are told."""
    task_id = await face.submit()
    async with face.gateway.feed.subscribe(task_id) as changes:
        await changes.get()
        async with face.gateway.database.transaction() as db:
            await db.execute("SELECT 1 FROM task_logs WHERE id = $1 FOR UPDATE", task_id)
            with pytest.raises(grpc.aio.AioRpcError):
                await face.tasks.Stop(StopRequest(task_id=task_id), metadata=face.ann, timeout=0.3)
        assert (await changes.get(timeout=5)).status == "FAILED"
