"""Batches while calls are cut, children that parse are killed, and servers stop: nobody is told of an inner error."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import psutil
import pytest
from taskgate.v1 import NewTask, SubmitBatchRequest, TaskServiceStub

from gateway.rpc.parsing import HEAVY

Code = grpc.StatusCode
TASKS = 4
#: Tasks are large enough to be looked at in a child process.
TEXT = "x" * (HEAVY + 50_000)
#: What a batch may end with here: `RESOURCE_EXHAUSTED` when its child was killed twice.
ANSWERS = {Code.OK, Code.CANCELLED, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED}


async def tasks(batch: str, pause: float = 0.0) -> AsyncIterator[SubmitBatchRequest]:
    for _ in range(TASKS):
        task = NewTask(task_type="probe")
        task.payload.update({"batch": batch, "text": TEXT})
        yield SubmitBatchRequest(task=task)
        await asyncio.sleep(pause)


async def answer_of(call: Any) -> grpc.StatusCode:
    """The code of a call that may have been cut."""
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        await call
    code: grpc.StatusCode = await call.code()
    return code


def parsing_children() -> list[psutil.Process]:
    """Children of the servers that fork for this process."""
    found = []
    for server in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "forkserver" in " ".join(server.cmdline()):
                found += server.children()
    return found


async def stored(face: Any) -> dict[str, int]:
    rows = await face.gateway.database.fetch("SELECT payload ->> 'batch' AS batch, count(*) FROM task_logs GROUP BY 1")
    return {row["batch"]: row["count"] for row in rows}


async def test_cut_calls_and_killed_children_are_nobody_elses_fault(
    face: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of the calls are cut after a while, from at once to just when they are answered."""
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
                call = TaskServiceStub(channel).SubmitBatch(tasks(batch), metadata=face.ann, timeout=within)
                if turn % 4 == 3:
                    asyncio.get_running_loop().call_later(chance.uniform(0, 0.6), call.cancel)
                code = await answer_of(call)
            answers[code] += 1
            if code is Code.OK:
                accepted.append(batch)

    async def kill() -> None:
        chance = random.Random(0)
        while running:
            if children := parsing_children():
                with contextlib.suppress(psutil.Error):
                    chance.choice(children).kill()
            await asyncio.sleep(0.25)

    killing = asyncio.create_task(kill())
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(90):
            await asyncio.gather(*(send(number) for number in range(6)))
        running = False
        await killing
        last = face.tasks.SubmitBatch(tasks("last"), metadata=face.ann)
        assert await answer_of(last) is Code.OK
    assert not caplog.records
    assert answers.keys() <= ANSWERS
    assert answers[Code.OK] >= 30, answers

    await face.server.stop()  # what was cut is carried out to its end
    batches = await stored(face)
    assert set(batches.values()) == {TASKS}
    assert set(accepted) <= batches.keys()


async def test_batches_that_are_read_while_the_server_stops(face: Any, caplog: pytest.LogCaptureFixture) -> None:
    calls = [face.tasks.SubmitBatch(tasks(str(n), pause=n / 10), metadata=face.ann) for n in range(12)]
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
