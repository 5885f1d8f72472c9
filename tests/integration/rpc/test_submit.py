"""Submit: what is accepted, what is refused, and what a key for idempotency is good for."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from taskgate.v1 import NewTask, SubmitRequest, TaskStatus

from workers.testing.waiting import until

Code = grpc.StatusCode


def new_task(**fields: Any) -> NewTask:
    payload = fields.pop("payload", {"n": 1})
    task = NewTask(task_type=fields.pop("task_type", "probe"), **fields)
    task.payload.update(payload)
    return task


async def test_an_accepted_task_has_its_rows(face: Any) -> None:
    asked = datetime.now(UTC)
    request = SubmitRequest(
        task=new_task(payload={"n": 3, "x": 1.5, "deep": [{"ok": True}], "none": None}, project_id="p-ann")
    )

    answer = await face.tasks.Submit(request, metadata=face.ann)

    assert answer.task.status == TaskStatus.TASK_STATUS_PENDING
    assert not answer.replayed
    assert abs(answer.task.created_at.ToDatetime(tzinfo=UTC) - asked) < timedelta(seconds=5)
    row = await face.gateway.database.fetchrow(
        "SELECT t.payload, t.status, d.* FROM task_logs t JOIN taskgate.dispatch d ON d.task_id = t.id WHERE t.id = $1",
        answer.task.task_id,
    )
    assert (row["tenant_id"], row["project_id"], row["user_id"], row["group_id"]) == ("t-ann", "p-ann", "ann", "p-ann")
    payload = json.loads(row["payload"])
    assert {key: payload[key] for key in ("n", "x", "deep", "none")} == {
        "n": 3,
        "x": 1.5,
        "deep": [{"ok": True}],
        "none": None,
    }
    assert isinstance(payload["n"], int)


async def test_a_built_in_type_without_a_project_works_on_its_tenant(face: Any) -> None:
    request = SubmitRequest(task=NewTask(task_type="deduplicate_entities"))
    answer = await face.tasks.Submit(request, metadata=face.ann)
    row = await face.gateway.database.fetchrow(
        "SELECT group_id, payload FROM task_logs WHERE id = $1", answer.task.task_id
    )
    payload = json.loads(row["payload"])
    assert (row["group_id"], payload["group_id"], payload["group_ids"]) == ("t-ann", "t-ann", ["t-ann", "p-ann"])
    request.task.payload.update({"group_ids": ["p-bob"]})
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await face.tasks.Submit(request, metadata=face.ann)
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_priority_and_delay_reach_the_dispatch_row(face: Any) -> None:
    task = new_task(priority=1)
    task.delay.FromTimedelta(timedelta(hours=2))

    answer = await face.tasks.Submit(SubmitRequest(task=task), metadata=face.ann)

    row = await face.gateway.database.fetchrow(
        "SELECT priority, not_before - created_at AS delay FROM taskgate.dispatch WHERE task_id = $1",
        answer.task.task_id,
    )
    assert row["priority"] == 1
    assert abs(row["delay"] - timedelta(hours=2)) < timedelta(seconds=5)


async def test_a_time_in_the_past_is_now(face: Any) -> None:
    task = new_task()
    task.run_at.FromDatetime(datetime(2001, 1, 1, tzinfo=UTC))

    answer = await face.tasks.Submit(SubmitRequest(task=task), metadata=face.ann)

    query = "SELECT not_before FROM taskgate.dispatch WHERE task_id = $1"
    assert await face.gateway.database.fetchval(query, answer.task.task_id) is None


async def test_the_same_key_gives_the_first_answer_and_no_second_task(face: Any) -> None:
    request = SubmitRequest(task=new_task(payload={"a": 1, "b": 2, "c": 3}), idempotency_key="order-1")

    first, *others = [await face.tasks.Submit(request, metadata=face.ann) for _ in range(3)]

    assert [other.replayed for other in others] == [True, True]
    assert {other.task.task_id for other in others} == {first.task.task_id}
    assert others[0].task == first.task
    assert await face.gateway.database.fetchval("SELECT count(*) FROM task_logs") == 1


async def test_a_repetition_after_the_deadline(face: Any, refusal: Any) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    task = new_task()
    task.deadline.FromDatetime(soon)
    request = SubmitRequest(task=task, idempotency_key="order-1")
    first = await face.tasks.Submit(request, metadata=face.ann)
    await until(lambda: datetime.now(UTC) > soon)
    again = await face.tasks.Submit(request, metadata=face.ann)
    assert (again.replayed, again.task.task_id) == (True, first.task.task_id)
    for key, metadata in (("order-2", face.ann), ("order-1", face.bob)):
        refused = await refusal(face.tasks.Submit(SubmitRequest(task=task, idempotency_key=key), metadata=metadata))
        assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["task.deadline"])


async def test_the_same_key_for_something_else_is_refused(face: Any, refusal: Any) -> None:
    await face.tasks.Submit(SubmitRequest(task=new_task(), idempotency_key="k"), metadata=face.ann)

    refused = await refusal(
        face.tasks.Submit(SubmitRequest(task=new_task(payload={"n": 2}), idempotency_key="k"), metadata=face.ann)
    )

    assert (refused.code, refused.reason) == (Code.INVALID_ARGUMENT, "IDEMPOTENCY_MISMATCH")
    assert refused.fields == ["idempotency_key"]
    # Another user's key is another key.
    await face.tasks.Submit(SubmitRequest(task=new_task(payload={"n": 2}), idempotency_key="k"), metadata=face.bob)


def invalid_tasks() -> list[Any]:
    nan, kindless, deep = new_task(), new_task(), new_task()
    nan.payload.fields["list"].list_value.values.add(number_value=float("nan"))
    kindless.payload.fields["nothing"].SetInParent()
    inner = deep.payload
    for _ in range(31):
        inner = inner.fields["in"].struct_value
        inner.SetInParent()
    late, early, twisted, minus = new_task(), new_task(), new_task(), new_task()
    late.run_at.FromDatetime(datetime.now(UTC) + timedelta(days=4000))
    early.run_at.seconds = -(10**15)
    twisted.delay.seconds, twisted.delay.nanos = 1, -1
    minus.delay.seconds = -1
    return [
        pytest.param(NewTask(), "task.task_type", id="no type"),
        pytest.param(new_task(task_type="a b"), "task.task_type", id="type with a blank"),
        pytest.param(new_task(task_type="x" * 201), "task.task_type", id="long type"),
        pytest.param(new_task(priority=0), "task.priority", id="priority 0"),
        pytest.param(new_task(priority=6), "task.priority", id="priority 6"),
        pytest.param(new_task(project_id="a\0b"), "task.project_id", id="NUL in an id"),
        pytest.param(new_task(payload={"a": "\0"}), "task.payload.a", id="NUL in a payload"),
        pytest.param(new_task(payload={"a\0": 1}), "task.payload", id="NUL in a name"),
        pytest.param(nan, "task.payload.list[0]", id="NaN"),
        pytest.param(kindless, "task.payload.nothing", id="value without a kind"),
        pytest.param(late, "task.run_at", id="in eleven years"),
        pytest.param(early, "task.run_at", id="no such year"),
        pytest.param(twisted, "task.delay", id="no duration"),
        pytest.param(minus, "task.delay", id="negative delay"),
    ]


@pytest.mark.parametrize(("task", "field"), invalid_tasks())
async def test_an_invalid_request_names_its_field(face: Any, refusal: Any, task: NewTask, field: str) -> None:
    refused = await refusal(face.tasks.Submit(SubmitRequest(task=task), metadata=face.ann))

    assert (refused.code, refused.reason, refused.domain) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST", "taskgate")
    assert refused.fields == [field]
    assert await face.gateway.database.fetchval("SELECT count(*) FROM task_logs") == 0


async def test_a_request_without_a_task_is_invalid(face: Any, refusal: Any) -> None:
    refused = await refusal(face.tasks.Submit(SubmitRequest(), metadata=face.ann))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["task"])


@pytest.mark.parametrize("key", ["", "x" * 256, "grün", "a\nb"])
async def test_an_idempotency_key_has_a_form(face: Any, refusal: Any, key: str) -> None:
    refused = await refusal(face.tasks.Submit(SubmitRequest(task=new_task(), idempotency_key=key), metadata=face.ann))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["idempotency_key"])


@pytest.mark.parametrize(
    "fields",
    [
        {"project_id": "p-bob"},
        {"tenant_id": "t-bob"},
        {"tenant_id": "nowhere"},
        {"group_id": "p-bob"},
        {"group_id": "tenant:t-bob"},
        {"payload": {"project_id": "p-bob"}},
    ],
    ids=str,
)
async def test_what_is_not_the_callers_is_refused(face: Any, refusal: Any, fields: dict[str, Any]) -> None:
    refused = await refusal(face.tasks.Submit(SubmitRequest(task=new_task(**fields)), metadata=face.ann))
    assert (refused.code, refused.reason) == (Code.PERMISSION_DENIED, "FORBIDDEN")


async def test_a_foreign_parent_is_not_found(face: Any, refusal: Any) -> None:
    bobs = await face.tasks.Submit(SubmitRequest(task=new_task()), metadata=face.bob)

    refused = await refusal(
        face.tasks.Submit(SubmitRequest(task=new_task(parent_task_id=bobs.task.task_id)), metadata=face.ann)
    )

    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "TASK_NOT_FOUND")


async def test_a_message_over_the_limit_is_refused(face: Any, refusal: Any) -> None:
    task = new_task(payload={"content": "x" * (11 * 1024 * 1024)})
    refused = await refusal(face.tasks.Submit(SubmitRequest(task=task), metadata=face.ann))
    assert refused.code is Code.RESOURCE_EXHAUSTED


async def test_a_large_payload_is_accepted(face: Any) -> None:
    task = new_task(payload={"content": "x" * (3 * 1024 * 1024)})
    answer = await face.tasks.Submit(SubmitRequest(task=task), metadata=face.ann)
    size = "SELECT length(payload ->> 'content') FROM task_logs WHERE id = $1"
    assert await face.gateway.database.fetchval(size, answer.task.task_id) == 3 * 1024 * 1024


async def test_unknown_fields_are_ignored(face: Any) -> None:
    raw = SubmitRequest(task=new_task()).SerializeToString() + b"\xba\x3e\x03new"
    submit = face.channel.unary_unary("/taskgate.v1.TaskService/Submit")
    assert await submit(raw, metadata=face.ann)
    assert await face.gateway.database.fetchval("SELECT count(*) FROM task_logs") == 1


async def test_a_submit_whose_deadline_passes_is_accepted_or_not_and_the_key_tells(face: Any) -> None:
    """The database is held still while the deadline passes; then it goes on, and the repetition is the same task."""
    request = SubmitRequest(task=new_task(), idempotency_key="late")
    async with face.gateway.database.transaction() as db:
        await db.execute("LOCK TABLE taskgate.dispatch IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await face.tasks.Submit(request, metadata=face.ann, timeout=0.3)
    assert caught.value.code() is Code.DEADLINE_EXCEEDED

    again = await asyncio.gather(*(face.tasks.Submit(request, metadata=face.ann) for _ in range(3)))

    assert len({answer.task.task_id for answer in again}) == 1
    assert await face.gateway.database.fetchval("SELECT count(*) FROM task_logs") == 1
    assert await face.gateway.database.fetchval("SELECT count(*) FROM taskgate.dispatch") == 1


async def test_over_quota_says_which_and_when_to_try_again(face: Any, refusal: Any) -> None:
    none = {"running": None, "per_minute": None, "bytes_per_day": None}
    await face.gateway.quotas.set("t-ann", "", queued=1, **none, by="root", why=None)
    await face.submit()

    refused = await refusal(face.submit())

    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
    assert (refused.metadata["quota"], refused.metadata["limit"]) == ("queued", "1")
    assert refused.retry_seconds >= 1
    await face.submit("bob")
