"""SubmitBatch: all tasks of a stream, or none."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from taskgate.v1 import BatchSettings, NewTask, StatsRequest, SubmitBatchRequest

from workers.testing.waiting import until

Code = grpc.StatusCode


def part(n: int, **fields: Any) -> SubmitBatchRequest:
    task = NewTask(task_type="probe", **fields)
    task.payload.update({"n": n})
    return SubmitBatchRequest(task=task)


def settings(key: str) -> SubmitBatchRequest:
    return SubmitBatchRequest(settings=BatchSettings(idempotency_key=key))


async def count(face: Any) -> int:
    return int(await face.gateway.database.fetchval("SELECT count(*) FROM task_logs"))


async def test_all_are_accepted_in_order(face: Any) -> None:
    answer = await face.tasks.SubmitBatch((part(n) for n in range(500)), metadata=face.ann)

    rows = await face.gateway.database.fetch("SELECT id, (payload ->> 'n')::int AS n FROM task_logs")
    numbers = {row["id"]: row["n"] for row in rows}
    assert [numbers[task_id] for task_id in answer.task_ids] == list(range(500))


async def test_a_batch_of_thousands(face: Any) -> None:
    async with asyncio.timeout(60):
        answer = await face.tasks.SubmitBatch((part(n) for n in range(5000)), metadata=face.ann)
    assert len(set(answer.task_ids)) == 5000 == await count(face)


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ([part(0), part(1), part(2, priority=9)], "tasks[2].priority"),
        ([part(0), SubmitBatchRequest()], "part"),
        ([part(0), settings("k")], "settings"),
        ([settings("k"), settings("k"), part(0)], "settings"),
        ([settings(""), part(0)], "settings.idempotency_key"),
        ([settings("k")], "task"),
        ([], "task"),
    ],
    ids=["one is invalid", "empty part", "late settings", "two settings", "no key", "no task", "nothing"],
)
async def test_one_that_is_invalid_refuses_all(face: Any, refusal: Any, parts: Any, field: str) -> None:
    refused = await refusal(face.tasks.SubmitBatch(iter(parts), metadata=face.ann))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, [field])
    assert await count(face) == 0


async def test_one_that_is_not_the_callers_refuses_all_and_is_named(face: Any, refusal: Any) -> None:
    parts = [part(0), part(1, project_id="p-bob"), part(2)]
    refused = await refusal(face.tasks.SubmitBatch(iter(parts), metadata=face.ann))
    assert (refused.code, refused.reason) == (Code.PERMISSION_DENIED, "FORBIDDEN")
    assert refused.message.startswith("tasks[1]: ")
    assert await count(face) == 0


async def test_the_same_key_gives_the_first_answer(face: Any, refusal: Any) -> None:
    def batch(tasks: int) -> Iterator[SubmitBatchRequest]:
        yield settings("nightly")
        yield from (part(n) for n in range(tasks))

    first = await face.tasks.SubmitBatch(batch(5), metadata=face.ann)
    again = await face.tasks.SubmitBatch(batch(5), metadata=face.ann)
    other = await refusal(face.tasks.SubmitBatch(batch(6), metadata=face.ann))

    assert (first.replayed, again.replayed) == (False, True)
    assert first.task_ids == again.task_ids
    assert (other.code, other.reason) == (Code.INVALID_ARGUMENT, "IDEMPOTENCY_MISMATCH")
    assert await count(face) == 5


async def test_a_repetition_meets_its_own_unique_keys(face: Any, refusal: Any) -> None:
    def batch(key: str) -> list[SubmitBatchRequest]:
        return [settings(key), part(0, unique_key="k"), part(1)]

    first, *others = [await face.tasks.SubmitBatch(iter(batch("b1")), metadata=face.ann) for _ in range(2)]
    assert [other.replayed for other in others] == [True]
    assert others[0].task_ids == first.task_ids
    assert (await refusal(face.tasks.SubmitBatch(iter(batch("b2")), metadata=face.ann))).reason == "UNIQUE_KEY_TAKEN"
    assert await count(face) == 2


async def test_a_repetition_after_a_deadline(face: Any, refusal: Any) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)

    def batch(key: str, *, tasks: int = 2) -> list[SubmitBatchRequest]:
        parts = [part(n) for n in range(tasks)]
        parts[0].task.deadline.FromDatetime(soon)
        return [settings(key), *parts]

    first = await face.tasks.SubmitBatch(iter(batch("b1")), metadata=face.ann)
    await until(lambda: datetime.now(UTC) > soon)
    again = await face.tasks.SubmitBatch(iter(batch("b1")), metadata=face.ann)
    assert (again.replayed, again.task_ids) == (True, first.task_ids)
    for parts in (batch("b2"), batch("b1", tasks=3)):
        refused = await refusal(face.tasks.SubmitBatch(iter(parts), metadata=face.ann))
        assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["tasks[0].deadline"])
    assert await count(face) == 2


async def test_a_batch_has_limits(face: Any, faces: Any, refusal: Any) -> None:
    small = await faces(max_batch_tasks=10, max_batch_bytes=2000)

    many = await refusal(small.tasks.SubmitBatch((part(n) for n in range(11)), metadata=small.ann))
    large = await refusal(
        small.tasks.SubmitBatch((part(n, group_id="p-ann" + " " * 400) for n in range(10)), metadata=small.ann)
    )

    assert (many.code, many.reason) == (Code.RESOURCE_EXHAUSTED, "BODY_TOO_LARGE")
    assert large.code in (Code.RESOURCE_EXHAUSTED, Code.PERMISSION_DENIED)
    assert await count(face) == 0


async def test_a_client_that_leaves_before_the_end_leaves_nothing(face: Any, wire: Any) -> None:
    """Reset, or cut with its connection: what was sent is not accepted, at whatever moment it happens.

    To the receiver, a stream that was cut looks like one that ended; a gateway that takes it for one accepts about a
    third of these.
    """
    beginning = wire.opening("SubmitBatch") + wire.frame(0, 0, 1, wire.message(part(1).SerializeToString()))
    for attempt in range(400):
        _, writer = await wire.connect()
        writer.write(beginning)
        await writer.drain()
        for _ in range(attempt % 3):
            await face.tasks.Stats(StatsRequest(), metadata=face.ann)
        if attempt % 2:
            writer.write(wire.frame(3, 0, 1, struct.pack(">I", 8)))  # RST_STREAM, CANCEL
        writer.close()

    await face.server.stop()
    assert await count(face) == 0
