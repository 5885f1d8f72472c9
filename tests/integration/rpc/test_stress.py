"""Batches while calls are cut, children that parse are killed, and servers stop: nobody is told of an inner error."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import psutil
import pytest
from taskgate.v1 import NewTask, SubmitBatchRequest, TaskServiceStub

from contracts.children import parsing_children
from gateway.rpc.parsing import HEAVY

Code = grpc.StatusCode
TASKS = 4
#: Tasks are large enough to be looked at in a child process.
TEXT = "x" * (HEAVY + 50_000)
#: What a batch that is not cut may end with: `UNAVAILABLE` when its child was killed twice.
ANSWERS = {Code.OK, Code.UNAVAILABLE}


class TaskStream:
    """Tasks of a batch, one by one. No generator: of one that runs when its call is cut, the interpreter complains."""

    def __init__(self, batch: str, pause: float = 0.0) -> None:
        self._batch = batch
        self._pause = pause
        self._left = TASKS

    def __aiter__(self) -> TaskStream:
        return self

    async def __anext__(self) -> SubmitBatchRequest:
        if self._left < TASKS:
            await asyncio.sleep(self._pause)
        if self._left == 0:
            raise StopAsyncIteration
        self._left -= 1
        task = NewTask(task_type="probe")
        task.payload.update({"batch": self._batch, "text": TEXT})
        return SubmitBatchRequest(task=task)


async def answer_of(call: Any) -> grpc.StatusCode:
    """The code of a call that may have been cut."""
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        await call
    code: grpc.StatusCode = await call.code()
    return code


def is_the_clients(record: logging.LogRecord) -> bool:
    """grpc's client goes on to wait with its first message when the call was cut before there was a connection."""
    return record.name == "asyncio" and "_consume_request_iterator" in record.getMessage()


async def stored(face: Any) -> dict[str, int]:
    rows = await face.gateway.database.fetch("SELECT payload ->> 'batch' AS batch, count(*) FROM task_logs GROUP BY 1")
    return {row["batch"]: row["count"] for row in rows}


async def test_cut_calls_and_killed_children_are_nobody_elses_fault(
    face: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of the calls are cut after a while, from at once to just when they are answered. What a client says of a
    call that it has cut is its library's own; what the gateway did then is in its log."""
    answers: Counter[grpc.StatusCode] = Counter()
    accepted: list[str] = []
    running = True

    async def send(number: int) -> None:
        chance = random.Random(number)
        for turn in range(14):
            batch = f"{number}.{turn}"
            async with grpc.aio.insecure_channel(
                f"127.0.0.1:{face.server.port}", options=[("taskgate.stress", number)]
            ) as channel:
                within = chance.uniform(0, 0.6) if turn % 4 == 1 else 60
                call = TaskServiceStub(channel).SubmitBatch(TaskStream(batch), metadata=face.ann, timeout=within)
                if turn % 4 == 3:
                    asyncio.get_running_loop().call_later(chance.uniform(0, 0.6), call.cancel)
                code = await answer_of(call)
            if turn % 2 == 0:
                answers[code] += 1
            if code is Code.OK:
                accepted.append(batch)

    async def kill() -> None:
        chance = random.Random(0)
        while running:
            if children := parsing_children():
                with contextlib.suppress(psutil.Error):
                    chance.choice(children).kill()
            await asyncio.sleep(0.5)

    killing = asyncio.create_task(kill())
    # What tests before have left complains now.
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(90):
            await asyncio.gather(*(send(number) for number in range(6)))
        running = False
        await killing
        last = face.tasks.SubmitBatch(TaskStream("last"), metadata=face.ann)
        assert await answer_of(last) is Code.OK
    assert not [record for record in caplog.records if not is_the_clients(record)]
    assert answers.keys() <= ANSWERS, answers
    assert answers[Code.OK] >= 30

    await face.server.stop()  # what was cut is carried out to its end
    batches = await stored(face)
    assert set(batches.values()) == {TASKS}
    assert set(accepted) <= batches.keys()


async def test_who_still_writes_is_told_why_it_is_refused(face: Any) -> None:
    """On a busy machine one of six was told INTERNAL: grpc's client said so of its own write, which nobody read."""

    async def parts() -> AsyncIterator[SubmitBatchRequest]:
        yield SubmitBatchRequest(task=NewTask(task_type="probe", priority=9))
        async for part in TaskStream("refused"):
            yield part

    calls = [face.tasks.SubmitBatch(parts(), metadata=face.ann) for _ in range(40)]
    async with asyncio.timeout(60):
        answers = Counter(await asyncio.gather(*map(answer_of, calls)))
    assert answers == {Code.INVALID_ARGUMENT: 40}


async def test_batches_that_are_read_while_the_server_stops(face: Any, caplog: pytest.LogCaptureFixture) -> None:
    calls = [face.tasks.SubmitBatch(TaskStream(str(n), pause=n / 10), metadata=face.ann) for n in range(12)]
    answering = [asyncio.create_task(answer_of(call)) for call in calls]
    await answering[0]
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(30):
            await face.server.stop()
            answers = await asyncio.gather(*answering)
    assert not caplog.records
    assert set(answers) <= {Code.OK, Code.UNAVAILABLE, Code.CANCELLED}
    assert answers[0] is Code.OK
    batches = await stored(face)
    assert set(batches.values()) == {TASKS}
    assert {str(n) for n, code in enumerate(answers) if code is Code.OK} <= batches.keys()
