"""Get, List, Stats: what a caller sees, in which words, and page by page."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from taskgate.v1 import GetRequest, ListRequest, StatsRequest, TaskStatus

Code = grpc.StatusCode


async def listed(face: Any, metadata: Any = None, **fields: Any) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    token = ""
    while True:
        request = ListRequest(page_token=token, **fields)
        page = await face.tasks.List(request, metadata=metadata or face.ann)
        found += [task.task_id for task in page.tasks]
        token = page.next_page_token
        if not token:
            return found


async def test_a_finished_task_is_shown_whole(face: Any) -> None:
    task_id = await face.submit()
    await face.finish(task_id, {"count": 3, "names": ["a", "b"], "none": None, "deep": {"ok": True}})

    task = (await face.tasks.Get(GetRequest(task_id=task_id), metadata=face.ann)).task

    assert (task.task_type, task.status, task.progress) == ("probe", TaskStatus.TASK_STATUS_COMPLETED, 100)
    assert MessageToDict(task.result) == {"count": 3, "names": ["a", "b"], "none": None, "deep": {"ok": True}}
    assert task.worker_id == "w1"
    assert not task.HasField("error")
    assert task.created_at.ToDatetime() <= task.started_at.ToDatetime() <= task.completed_at.ToDatetime()
    assert task.duration.ToTimedelta() == task.completed_at.ToDatetime() - task.started_at.ToDatetime()


async def test_a_waiting_task_is_pending_and_a_running_one_processing(face: Any) -> None:
    task_id = await face.submit()
    waiting = (await face.tasks.Get(GetRequest(task_id=task_id), metadata=face.ann)).task
    await face.begin(task_id)
    running = (await face.tasks.Get(GetRequest(task_id=task_id), metadata=face.ann)).task

    assert waiting.status == TaskStatus.TASK_STATUS_PENDING
    assert not waiting.HasField("started_at")
    assert not waiting.HasField("worker_id")
    assert running.status == TaskStatus.TASK_STATUS_PROCESSING
    assert running.HasField("started_at")
    assert not running.HasField("duration")


async def test_a_failed_task_says_why(face: Any) -> None:
    task_id = await face.submit()
    await face.fail(task_id, "no such file")

    task = (await face.tasks.Get(GetRequest(task_id=task_id), metadata=face.ann)).task

    assert (task.status, task.error) == (TaskStatus.TASK_STATUS_FAILED, "no such file")


async def test_another_tenants_task_is_not_found_like_one_that_does_not_exist(face: Any, refusal: Any) -> None:
    task_id = await face.submit("bob")

    foreign = await refusal(face.tasks.Get(GetRequest(task_id=task_id), metadata=face.ann))
    missing = await refusal(face.tasks.Get(GetRequest(task_id="missing"), metadata=face.ann))

    assert (foreign.code, foreign.reason) == (Code.NOT_FOUND, "TASK_NOT_FOUND")
    assert (foreign.code, foreign.reason, foreign.message) == (missing.code, missing.reason, missing.message)
    assert (await face.tasks.Get(GetRequest(task_id=task_id), metadata=face.root)).task.task_id == task_id


async def test_a_mask_chooses_fields(face: Any, refusal: Any) -> None:
    task_id = await face.submit()
    await face.finish(task_id, {"big": "x"})
    mask = FieldMask(paths=["task_id", "status"])

    task = (await face.tasks.Get(GetRequest(task_id=task_id, read_mask=mask), metadata=face.ann)).task
    page = await face.tasks.List(ListRequest(read_mask=FieldMask(paths=["task_id"])), metadata=face.ann)
    everything = GetRequest(task_id=task_id, read_mask=FieldMask(paths=["*"]))
    refused = await refusal(
        face.tasks.Get(GetRequest(task_id=task_id, read_mask=FieldMask(paths=["payload"])), metadata=face.ann)
    )

    assert {field.name for field, _ in task.ListFields()} == {"task_id", "status"}
    assert [{field.name for field, _ in task.ListFields()} for task in page.tasks] == [{"task_id"}]
    assert (await face.tasks.Get(everything, metadata=face.ann)).task.HasField("result")
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["read_mask"])


# What legacy rows may hold ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"n": 1e999}', {"n": "Infinity"}),
        ('{"n": 123456789012345678901234567890}', {"n": 1.2345678901234568e29}),
        ('{"s": "\\ud800"}', {"s": "?"}),
        ('{"s": "\\u0000"}', {"s": "\0"}),
        ("[1, 2]", None),
        ('"text"', None),
        (" {}", {}),
        ('{"a":' * 30 + "[7]" + "}" * 30, ...),
        ('{"a":' * 3000 + "1" + "}" * 3000, ...),
    ],
    ids=["huge", "long", "surrogate", "nul", "list", "string", "empty", "deep", "very deep"],
)
async def test_any_result_that_postgresql_holds_can_be_read(face: Any, text: str, shown: Any) -> None:
    task_id = await face.submit()
    await face.gateway.database.execute("UPDATE task_logs SET result = $2::json WHERE id = $1", task_id, text)

    task = (await face.tasks.Get(GetRequest(task_id=task_id), metadata=face.ann)).task

    if shown is None:
        assert not task.HasField("result")
    elif shown is not ...:
        assert MessageToDict(task.result) == shown


async def test_what_is_too_deep_for_protobuf_is_its_json(face: Any) -> None:
    task_id = await face.submit()
    text = '{"a":' * 30 + "[7]" + "}" * 30
    await face.gateway.database.execute("UPDATE task_logs SET result = $2::json WHERE id = $1", task_id, text)

    found: Any = (await face.tasks.Get(GetRequest(task_id=task_id), metadata=face.ann)).task.result
    found = MessageToDict(found)
    levels = 0
    while isinstance(found, dict):
        found, levels = found["a"], levels + 1

    assert levels == 24
    assert found == json.dumps(json.loads('{"a":' * 6 + "[7]" + "}" * 6), separators=(",", ":"))


async def test_odd_rows_of_legacy_are_shown(face: Any) -> None:
    await face.gateway.database.execute(
        "INSERT INTO task_logs (id, group_id, task_type, status, created_at, retry_count, progress, payload,"
        " started_at, completed_at) VALUES ('odd', 'p-ann', NULL, 'PAUSED', NULL, NULL, -5, '[]', '2026-01-02',"
        " '2026-01-01')"
    )

    task = (await face.tasks.Get(GetRequest(task_id="odd"), metadata=face.ann)).task

    assert task.status == TaskStatus.TASK_STATUS_UNSPECIFIED
    assert not task.HasField("created_at")
    assert not task.HasField("duration")
    assert "odd" in await listed(face, face.root)


# Lists ------------------------------------------------------------------------------------------------------


async def test_pages_are_complete_newest_first_and_stable(face: Any) -> None:
    """Tasks that come in between neither shift nor repeat what follows."""
    ids = [await face.submit() for _ in range(7)]
    for name in ("bob", "bob"):
        await face.submit(name)

    first = await face.tasks.List(ListRequest(page_size=3), metadata=face.ann)
    await face.submit()
    await face.submit()
    second = await face.tasks.List(ListRequest(page_size=3, page_token=first.next_page_token), metadata=face.ann)
    third = await face.tasks.List(ListRequest(page_size=3, page_token=second.next_page_token), metadata=face.ann)

    pages = [task.task_id for page in (first, second, third) for task in page.tasks]
    assert pages == ids[::-1]
    assert third.next_page_token == ""


async def test_tasks_of_the_same_moment_are_listed_once_each(face: Any) -> None:
    ids = {await face.submit() for _ in range(9)}
    await face.gateway.database.execute("UPDATE task_logs SET created_at = '2026-01-01'")
    await face.gateway.database.execute("UPDATE taskgate.dispatch SET created_at = '2026-01-01'")
    await face.gateway.database.execute(
        "INSERT INTO task_logs (id, group_id, task_type, status, created_at, payload)"
        " SELECT 'old-' || n, 'p-ann', 'probe', 'COMPLETED', CASE WHEN n > 3 THEN timestamptz '2026-01-01' END, '{}'"
        " FROM generate_series(1, 6) n"
    )
    expected = ids | {f"old-{n}" for n in range(1, 7)}

    for metadata in (face.ann, face.root):
        for size in (1, 2, 4):
            found = await listed(face, metadata, page_size=size)
            assert len(found) == len(expected)
            assert set(found) == expected


@pytest.mark.parametrize("who", ["ann", "root"])
async def test_filters_hold_together(face: Any, who: str) -> None:
    done = await face.submit(task_type="a")
    await face.finish(done)
    failed = await face.submit(task_type="b")
    await face.fail(failed)
    waiting = await face.submit(task_type="b")
    metadata = face.world.metadata(who)

    assert set(await listed(face, metadata)) == {done, failed, waiting}
    assert await listed(face, metadata, status=TaskStatus.TASK_STATUS_COMPLETED) == [done]
    assert await listed(face, metadata, task_type="b", page_size=1) == [waiting, failed]
    assert await listed(face, metadata, task_type="b", status=TaskStatus.TASK_STATUS_PENDING) == [waiting]
    assert await listed(face, metadata, search=failed[4:20].upper()) == [failed]
    assert await listed(face, metadata, search="%") == []
    assert await listed(face, metadata, entity_id="e") == []
    assert await listed(face, metadata, task_type="a\0") == []


async def test_page_sizes(face: Any, refusal: Any) -> None:
    for _ in range(2):
        await face.submit()
    refused = await refusal(face.tasks.List(ListRequest(page_size=-1), metadata=face.ann))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["page_size"])
    assert len((await face.tasks.List(ListRequest(page_size=10**6), metadata=face.ann)).tasks) == 2


async def test_a_page_stays_below_what_clients_accept(face: Any) -> None:
    """Eight results of 1 MB: each page ends before 4 MB, and none is left out."""
    ids = [await face.submit() for _ in range(8)]
    await face.gateway.database.execute(
        "UPDATE task_logs SET result = json_build_object('text', repeat('x', 1024 * 1024))"
    )

    page = await face.tasks.List(ListRequest(), metadata=face.ann)

    assert 1 <= len(page.tasks) < 8
    assert await listed(face) == ids[::-1]


@pytest.mark.parametrize("token", ["x", "a" * 5000, "bnVsbA", "W10", "WzEsMiwzXQ", "é", "WyJhIiwiYiIsImMiXQ"])
async def test_a_token_that_is_none_is_refused(face: Any, refusal: Any, token: str) -> None:
    refused = await refusal(face.tasks.List(ListRequest(page_token=token), metadata=face.ann))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["page_token"])


async def test_a_token_belongs_to_its_filters_and_shows_nothing_more(face: Any, refusal: Any) -> None:
    for _ in range(3):
        await face.submit()
    page = await face.tasks.List(ListRequest(page_size=1), metadata=face.ann)
    token = page.next_page_token

    refused = await refusal(face.tasks.List(ListRequest(page_token=token, task_type="b"), metadata=face.ann))

    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["page_token"])
    assert not (await face.tasks.List(ListRequest(page_token=token), metadata=face.bob)).tasks


async def test_an_unknown_status_is_refused(face: Any, refusal: Any) -> None:
    refused = await refusal(face.tasks.List(ListRequest(status=77), metadata=face.ann))  # type: ignore[arg-type]
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["status"])


async def test_stats_are_those_of_http(face: Any) -> None:
    await face.finish(await face.submit())
    await face.fail(await face.submit())
    await face.begin(await face.submit())
    await face.submit()
    await face.submit("bob")

    stats = await face.tasks.Stats(StatsRequest(), metadata=face.ann)

    assert (stats.total, stats.pending, stats.processing, stats.completed, stats.failed) == (4, 1, 1, 1, 1)
    assert stats.error_rate == 25.0
    assert stats.throughput_per_minute == pytest.approx(1 / 60)
    assert (await face.tasks.Stats(StatsRequest(), metadata=face.root)).total == 5


async def test_a_delayed_task_waits(face: Any) -> None:
    run_at = datetime.now(UTC) + timedelta(hours=1)
    task_id = await face.submit(run_at=run_at)
    task = (await face.tasks.Get(GetRequest(task_id=task_id), metadata=face.ann)).task
    assert task.status == TaskStatus.TASK_STATUS_PENDING
