"""Watch: every change reaches who watches, to the task's end, and across broken streams and gateways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from taskgate.v1 import RetryRequest, StatsRequest, StopRequest, TaskStatus, WatchRequest, WatchResponse

Code = grpc.StatusCode
PENDING, PROCESSING = TaskStatus.TASK_STATUS_PENDING, TaskStatus.TASK_STATUS_PROCESSING
COMPLETED, FAILED = TaskStatus.TASK_STATUS_COMPLETED, TaskStatus.TASK_STATUS_FAILED


class Stream:
    """A watch, read answer by answer."""

    def __init__(self, face: Any, task_id: str, token: str = "", metadata: Any = None) -> None:
        request = WatchRequest(task_id=task_id, resume_token=token)
        self.call = face.tasks.Watch(request, metadata=metadata or face.ann)
        self._answers = aiter(self.call)

    async def next(self) -> WatchResponse:
        async with asyncio.timeout(10):
            return await anext(self._answers)

    async def rest(self) -> list[WatchResponse]:
        async with asyncio.timeout(10):
            return [answer async for answer in self._answers]


async def settle(face: Any, is_settled: Callable[[], bool]) -> None:
    """Call the server until it has dealt with what came before."""
    async with asyncio.timeout(30):
        while not is_settled():
            await face.tasks.Stats(StatsRequest(), metadata=face.ann)


async def test_a_task_is_followed_to_its_end(face: Any) -> None:
    task_id = await face.submit()
    stream = Stream(face, task_id)
    seen = [await stream.next()]
    attempt = await face.begin(task_id)
    seen.append(await stream.next())
    await face.gateway.transitions.progress(task_id, attempt, progress=40, message="half")
    seen.append(await stream.next())
    await face.gateway.transitions.progress(task_id, attempt, result={"n": 1})
    await face.gateway.transitions.complete(task_id, attempt)
    seen += await stream.rest()

    shown = [(answer.task.status, answer.task.progress) for answer in seen]
    assert shown[:3] == [(PENDING, 0), (PROCESSING, 0), (PROCESSING, 40)]
    assert shown[-1] == (COMPLETED, 40)
    assert seen[2].task.message == "half"
    assert seen[-1].task.result["n"] == 1
    assert await stream.call.code() is Code.OK
    assert len({answer.resume_token for answer in seen}) == len(seen)


async def test_a_finished_task_is_sent_at_once_and_the_stream_ends(face: Any) -> None:
    task_id = await face.submit()
    await face.fail(task_id, "boom")

    (answer,) = await Stream(face, task_id).rest()

    assert (answer.task.status, answer.task.error) == (FAILED, "boom")


async def test_a_resumed_stream_begins_with_the_next_change(face: Any) -> None:
    task_id = await face.submit()
    stream = Stream(face, task_id)
    token = (await stream.next()).resume_token
    stream.call.cancel()

    resumed = Stream(face, task_id, token)
    await face.finish(task_id)
    first = await resumed.next()

    assert first.task.status != PENDING
    assert first.resume_token != token


async def test_what_changed_in_between_is_the_first_answer(face: Any) -> None:
    task_id = await face.submit()
    stream = Stream(face, task_id)
    token = (await stream.next()).resume_token
    stream.call.cancel()
    await face.finish(task_id)

    answers = await Stream(face, task_id, token).rest()
    again = await Stream(face, task_id, answers[-1].resume_token).rest()

    assert [answer.task.status for answer in answers] == [COMPLETED]
    assert again == []


async def test_another_gateway_continues(face: Any, faces: Any) -> None:
    """The first one shuts down: its streams say when to try again, and the second one goes on where they ended."""
    task_id = await face.submit()
    other = await faces()
    stream = Stream(other, task_id)
    token = (await stream.next()).resume_token

    other.gateway.feed.end_streams()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.rest()
    resumed = Stream(face, task_id, token)
    await face.finish(task_id)
    answers = await resumed.rest()

    assert caught.value.code() is Code.UNAVAILABLE
    assert answers[-1].task.status == COMPLETED
    assert all(answer.resume_token != token for answer in answers)


async def test_changes_made_elsewhere_arrive(face: Any, faces: Any) -> None:
    """Through another gateway, and by a legacy worker, who tells nobody."""
    other = await faces()
    task_id = await face.submit()
    stream = Stream(face, task_id)
    await stream.next()

    await other.tasks.Stop(StopRequest(task_id=task_id), metadata=other.ann)
    assert (await stream.next()).task.status == FAILED
    assert await stream.rest() == []

    await other.tasks.Retry(RetryRequest(task_id=task_id), metadata=other.ann)
    stream = Stream(face, task_id)
    assert (await stream.next()).task.status == PENDING
    await face.gateway.database.execute(
        "UPDATE task_logs SET status = 'COMPLETED', completed_at = now() WHERE id = $1", task_id
    )
    assert (await stream.rest())[-1].task.status == COMPLETED


async def test_many_watch_one_task(face: Any) -> None:
    task_id = await face.submit()
    streams = [Stream(face, task_id) for _ in range(100)]
    for stream in streams:
        await stream.next()
    await face.finish(task_id, {"n": 2})

    ends = await asyncio.gather(*(stream.rest() for stream in streams))

    assert {end[-1].SerializeToString(deterministic=True) for end in ends} == {
        ends[0][-1].SerializeToString(deterministic=True)
    }
    assert face.gateway.feed.subscriptions == 0


@pytest.mark.parametrize("who", ["bob", "missing"])
async def test_what_the_caller_may_not_see_is_not_found(face: Any, refusal: Any, who: str) -> None:
    task_id = await face.submit("bob") if who == "bob" else "missing"
    refused = await refusal(Stream(face, task_id).rest())
    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "TASK_NOT_FOUND")
    assert face.gateway.feed.subscriptions == 0


async def test_a_row_that_disappears_ends_the_stream(face: Any, refusal: Any) -> None:
    task_id = await face.submit()
    stream = Stream(face, task_id)
    await stream.next()
    await face.gateway.database.execute("DELETE FROM task_logs WHERE id = $1", task_id)
    refused = await refusal(stream.rest())
    assert refused.code is Code.NOT_FOUND


async def test_a_token_that_is_none_is_only_not_equal(face: Any, refusal: Any) -> None:
    task_id = await face.submit()
    assert (await Stream(face, task_id, "anything").next()).task.status == PENDING
    refused = await refusal(Stream(face, task_id, "x" * 101).rest())
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["resume_token"])


async def test_a_deadline_ends_a_watch_and_leaves_nothing(face: Any) -> None:
    task_id = await face.submit()
    call = face.tasks.Watch(WatchRequest(task_id=task_id), metadata=face.ann, timeout=0.5)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    assert caught.value.code() is Code.DEADLINE_EXCEEDED
    await settle(face, lambda: face.gateway.feed.subscriptions == 0)


async def test_thousands_of_cut_streams_leave_nothing(face: Any) -> None:
    """Streams are cancelled, and connections cut with all their streams; nothing of them is left in the gateway."""
    task_ids = [await face.submit() for _ in range(20)]
    before = len(asyncio.all_tasks())
    cut = 0
    for number in range(30):
        channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{face.server.port}", options=[("grpc.use_local_subchannel_pool", 1)]
        )
        watch = channel.unary_stream(
            "/taskgate.v1.TaskService/Watch", request_serializer=WatchRequest.SerializeToString
        )
        calls = [watch(WatchRequest(task_id=task_ids[n % 20]), metadata=face.ann) for n in range(100)]
        if number % 3 == 0:  # while they are being opened
            await asyncio.sleep(0)
        else:
            await asyncio.gather(*(call.read() for call in calls))
        if number % 3 == 1:
            for call in calls:
                call.cancel()
        cut += len(calls)
        await channel.close()

    assert cut == 3000
    await settle(face, lambda: face.gateway.feed.subscriptions == 0 and len(asyncio.all_tasks()) <= before)
    assert face.gateway.feed.watched == 0
    # And the gateway serves on.
    stream = Stream(face, task_ids[0])
    assert (await stream.next()).task.status == PENDING
    stream.call.cancel()
