"""What a submission may ask for beside its payload: the rules of HTTP, in the words of the proto."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from taskgate.v1 import Callback, CallbackEvent, NewTask, OnConflict, RetryPolicy, SubmitBatchRequest, SubmitRequest

Code = grpc.StatusCode
RETURN = OnConflict.ON_CONFLICT_RETURN


def new_task(**fields: Any) -> NewTask:
    return NewTask(task_type="probe", **fields)


def retry(**seconds: float) -> RetryPolicy:
    policy = RetryPolicy()
    for name, value in seconds.items():
        getattr(policy, name).FromTimedelta(timedelta(seconds=value))
    return policy


async def batch(face: Any, *tasks: NewTask) -> Any:
    parts = [SubmitBatchRequest(task=task) for task in tasks]
    return await face.tasks.SubmitBatch(iter(parts), metadata=face.ann)


async def test_every_option_reaches_the_dispatch_row(face: Any) -> None:
    task = new_task(
        labels={"team": "search", "wave": "Ünö"},
        unique_key="nightly",
        retry=retry(initial=0.5, maximum=60),
        callback=Callback(url="https://example.com/hook", events=[CallbackEvent.CALLBACK_EVENT_FAILED]),
    )
    task.retry.attempts, task.retry.coefficient = 7, 1.5
    task.delay.FromTimedelta(timedelta(hours=1))
    task.ttl.FromTimedelta(timedelta(minutes=10))

    answer = await face.tasks.Submit(SubmitRequest(task=task), metadata=face.ann)

    row = await face.gateway.database.fetchrow(
        "SELECT *, expires_at - not_before AS ttl FROM taskgate.dispatch WHERE task_id = $1", answer.task.task_id
    )
    assert json.loads(row["labels"]) == {"team": "search", "wave": "Ünö"}
    assert row["unique_key"] == "nightly"
    assert row["max_attempts"] == 7
    assert (row["retry_initial"], row["retry_coefficient"], row["retry_maximum"]) == (0.5, 1.5, 60)
    assert row["ttl"] == timedelta(minutes=10)
    assert json.loads(row["callback"]) == {"url": "https://example.com/hook", "events": ["failed"]}


def invalid_options() -> list[Any]:
    late, both, past, late_ttl = new_task(), new_task(), new_task(), new_task()
    late.deadline.FromDatetime(datetime.now(UTC) + timedelta(days=4000))
    past.deadline.FromDatetime(datetime(2001, 1, 1, tzinfo=UTC))
    both.retry.coefficient = float("nan")
    late_ttl.ttl.FromTimedelta(timedelta(days=4000))
    return [
        pytest.param(new_task(labels={"A b": "x"}), "task.labels", id="label's key"),
        pytest.param(new_task(labels={"a": "x" * 256}), "task.labels", id="label's value"),
        pytest.param(new_task(labels={"a": "\0"}), "task.labels", id="NUL in a label"),
        pytest.param(new_task(labels={f"k{n}": "" for n in range(33)}), "task.labels", id="33 labels"),
        pytest.param(new_task(unique_key=""), "task.unique_key", id="empty unique key"),
        pytest.param(new_task(unique_key="x" * 256), "task.unique_key", id="long unique key"),
        pytest.param(new_task(on_conflict=77), "task.on_conflict", id="unknown way"),  # type: ignore[arg-type]
        pytest.param(new_task(retry=RetryPolicy(attempts=0)), "task.retry.attempts", id="no attempt"),
        pytest.param(new_task(retry=retry(initial=0.0001)), "task.retry.initial", id="short pause"),
        pytest.param(new_task(retry=retry(maximum=10**8)), "task.retry.maximum", id="long pause"),
        pytest.param(new_task(retry=retry(initial=9, maximum=3)), "task.retry", id="maximum before initial"),
        pytest.param(both, "task.retry.coefficient", id="NaN"),
        pytest.param(late, "task.deadline", id="deadline in eleven years"),
        pytest.param(past, "task.deadline", id="deadline in the past"),
        pytest.param(late_ttl, "task.ttl", id="long time to live"),
        pytest.param(new_task(callback=Callback()), "task.callback.url", id="no address"),
        pytest.param(
            new_task(callback=Callback(url="https://example.com", events=[0])), "task.callback.events", id="no end"
        ),
    ]


@pytest.mark.parametrize(("task", "field"), invalid_options())
async def test_an_invalid_option_names_its_field(face: Any, refusal: Any, task: NewTask, field: str) -> None:
    refused = await refusal(face.tasks.Submit(SubmitRequest(task=task), metadata=face.ann))

    assert (refused.code, refused.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert refused.fields == [field]


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://localhost:80/x", "ftp://example.com", "no address"])
async def test_a_callback_to_where_none_is_sent_is_refused(face: Any, refusal: Any, url: str) -> None:
    request = SubmitRequest(task=new_task(callback=Callback(url=url)))

    refused = await refusal(face.tasks.Submit(request, metadata=face.ann))

    assert (refused.code, refused.reason) == (Code.INVALID_ARGUMENT, "CALLBACK_REFUSED")
    assert refused.fields == ["task.callback.url"]


async def test_of_active_tasks_only_one_has_a_key(face: Any, refusal: Any) -> None:
    first = await face.submit(unique_key="u")

    refused = await refusal(face.submit(unique_key="u"))
    assert (refused.code, refused.reason) == (Code.ALREADY_EXISTS, "UNIQUE_KEY_TAKEN")
    assert refused.metadata == {"task_id": first}

    request = SubmitRequest(task=new_task(unique_key="u", on_conflict=RETURN), idempotency_key="i")
    returned = await face.tasks.Submit(request, metadata=face.ann)
    again = await face.tasks.Submit(request, metadata=face.ann)
    assert (returned.task.task_id, returned.active, returned.replayed) == (first, True, False)
    assert (again.task.task_id, again.active, again.replayed) == (first, True, True)

    # Another tenant's key is another key, and the key of a finished task is free.
    await face.submit("bob", unique_key="u")
    await face.finish(first)
    fresh = await face.tasks.Submit(SubmitRequest(task=new_task(unique_key="u", on_conflict=RETURN)), metadata=face.ann)
    assert not fresh.active
    assert fresh.task.task_id != first


async def test_a_batch_with_keys_that_are_taken(face: Any, refusal: Any) -> None:
    active = await face.submit(unique_key="u")

    refused = await refusal(batch(face, new_task(), new_task(unique_key="u")))
    assert (refused.code, refused.reason) == (Code.ALREADY_EXISTS, "UNIQUE_KEY_TAKEN")
    assert "tasks[1]" in refused.message
    assert refused.metadata == {"task_id": active}

    # No task is named that is refused as well.
    refused = await refusal(batch(face, new_task(unique_key="w"), new_task(unique_key="w")))
    assert (refused.code, refused.reason) == (Code.ALREADY_EXISTS, "UNIQUE_KEY_TAKEN")
    assert (refused.message, refused.metadata) == ("tasks[1]: Two of these tasks have the same unique_key.", {})
    assert await face.gateway.database.fetchval("SELECT count(*) FROM task_logs") == 1

    answer = await batch(
        face,
        new_task(),
        new_task(unique_key="u", on_conflict=RETURN),
        new_task(unique_key="v"),
        new_task(unique_key="v", on_conflict=RETURN),
    )
    assert list(answer.active) == [1, 3]
    assert answer.task_ids[1] == active
    assert answer.task_ids[3] == answer.task_ids[2]
    assert await face.gateway.database.fetchval("SELECT count(*) FROM task_logs") == 3
