"""The contract of the gRPC face, at every stage; the same tasks are seen over HTTP, word for word."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from taskgate.v1 import (
    GetRequest,
    ListRequest,
    NewTask,
    RetryRequest,
    StatsRequest,
    StopRequest,
    SubmitBatchRequest,
    SubmitRequest,
    Task,
    TaskStatus,
    WatchRequest,
)

from contracts.people import Household
from contracts.probes import BOARD, RESULT
from contracts.world import PATIENCE, World

PENDING, PROCESSING = TaskStatus.TASK_STATUS_PENDING, TaskStatus.TASK_STATUS_PROCESSING
COMPLETED, FAILED = TaskStatus.TASK_STATUS_COMPLETED, TaskStatus.TASK_STATUS_FAILED


async def get(rpc: Any, home: Household, task_id: str) -> Task:
    return (await rpc.tasks.Get(GetRequest(task_id=task_id), metadata=rpc.of(home.owner))).task


async def show(world: World, home: Household, task_id: str) -> dict[str, Any]:
    """The task over HTTP."""
    return dict((await world.client(home.owner).get(f"/api/v1/tasks/{task_id}")).json())


def time_of(task: Task, name: str) -> str | None:
    """A time as HTTP spells it."""
    if not task.HasField(name):  # type: ignore[arg-type]
        return None
    return str(getattr(task, name).ToJsonString())


def same(task: Task, shown: dict[str, Any]) -> None:
    """Both faces say the same of a task."""
    assert task.task_id == shown["id"]
    assert task.task_type == shown["name"]
    assert TaskStatus.Name(task.status) == f"TASK_STATUS_{shown['status'].upper()}"
    assert task.progress == shown["progress"]
    assert task.retries == shown["retries"]
    assert (task.message if task.HasField("message") else None) == shown["message"]
    assert (task.error if task.HasField("error") else None) == shown["error"]
    assert (task.worker_id if task.HasField("worker_id") else "-") == shown["worker_id"]
    assert (MessageToDict(task.result) if task.HasField("result") else None) == shown["result"]
    for name in ("created_at", "started_at", "completed_at"):
        over_grpc, over_http = time_of(task, name), shown[name]
        assert (over_grpc is None) == (over_http is None)
        if over_grpc is not None:
            assert over_grpc.rstrip("Z").rstrip("0") == over_http.rstrip("Z").rstrip("0")


async def test_a_task_runs_once_and_both_faces_show_the_same(world: World, rpc: Any, home: Household) -> None:
    task_id = await rpc.submit(home, "report")
    await world.flip()
    seen = await rpc.follow(home, task_id)

    assert seen[-1].status == COMPLETED
    assert MessageToDict(seen[-1].result) == RESULT
    standings = [(task.status, task.progress) for task in seen]
    assert standings == sorted(standings)
    task = await get(rpc, home, task_id)
    assert task == seen[-1]
    same(task, await show(world, home, task_id))
    assert BOARD.runs[task_id] == 1


async def test_the_payload_arrives_as_it_was_sent(world: World, rpc: Any, home: Household) -> None:
    sent = {
        "do": "",
        "text": "Zoë \N{SNOWMAN}",
        "int": 7,
        "float": 0.5,
        "yes": True,
        "none": None,
        "list": [1, {"a": []}],
    }
    task = NewTask(task_type="contract_probe", project_id=home.project_id)
    task.payload.update(sent)
    answer = await rpc.tasks.Submit(SubmitRequest(task=task), metadata=rpc.of(home.owner))
    await rpc.follow(home, answer.task.task_id)

    ran = BOARD.payloads[answer.task.task_id]
    assert {name: ran[name] for name in sent} == sent
    assert (ran["tenant_id"], ran["project_id"], ran["group_id"]) == (home.tenant_id, home.project_id, home.project_id)
    assert (ran["user_id"], ran["task_id"]) == (home.owner.user_id, answer.task.task_id)


async def test_what_http_submits_grpc_watches(world: World, rpc: Any, home: Household) -> None:
    task_id = await world.submit(home, "report")
    await world.flip()
    assert (await rpc.follow(home, task_id))[-1].status == COMPLETED


async def test_every_change_of_a_running_task_is_seen(world: World, rpc: Any, home: Household) -> None:
    async with world.held(home) as (task_id, hold):
        call = rpc.tasks.Watch(WatchRequest(task_id=task_id), metadata=rpc.of(home.owner), timeout=PATIENCE)
        answers = aiter(call)
        first = (await anext(answers)).task
        assert (first.status, first.progress, first.message) == (PROCESSING, 10, "held")
        await world.flip()
        hold.release()
        assert [answer.task.status async for answer in answers][-1] == COMPLETED


async def test_a_failure_says_why_at_the_end_of_its_attempts(world: World, rpc: Any, home: Household) -> None:
    task_id = await rpc.submit(home, "fatal no such thing")
    await world.flip()
    last = (await rpc.follow(home, task_id))[-1]
    assert (last.status, "no such thing" in last.error) == (FAILED, True)
    same(last, await show(world, home, task_id))


async def test_a_running_task_is_stopped_in_its_handler_and_retried(world: World, rpc: Any, home: Household) -> None:
    async with world.held(home) as (task_id, hold):
        await world.flip()
        stopped = (await rpc.tasks.Stop(StopRequest(task_id=task_id), metadata=rpc.of(home.owner))).task
        await hold.until_cancelled()
        assert (stopped.status, stopped.error) == (FAILED, "Task stopped by user")
        same(stopped, await show(world, home, task_id))
        hold.release()
        await world.flip()
        retried = (await rpc.tasks.Retry(RetryRequest(task_id=task_id), metadata=rpc.of(home.owner))).task
        assert retried.retries == 1
        assert (await rpc.follow(home, task_id))[-1].status == COMPLETED
    assert BOARD.runs[task_id] == 2


async def test_a_queued_task_that_was_stopped_never_runs(world: World, rpc: Any, home: Household) -> None:
    async with world.jammed():
        task_id = await rpc.submit(home)
        assert (await get(rpc, home, task_id)).status == PENDING
        await world.flip()
        await rpc.tasks.Stop(StopRequest(task_id=task_id), metadata=rpc.of(home.owner))
    await rpc.follow(home, await rpc.submit(home))
    assert BOARD.runs[task_id] == 0


async def test_a_batch_runs(world: World, rpc: Any, home: Household) -> None:
    def parts() -> Any:
        for number in range(30):
            task = NewTask(task_type="contract_probe", project_id=home.project_id)
            task.payload.update({"do": "", "number": number})
            yield SubmitBatchRequest(task=task)

    answer = await rpc.tasks.SubmitBatch(parts(), metadata=rpc.of(home.owner), timeout=PATIENCE)
    await world.flip()
    ends = await asyncio.gather(*(rpc.follow(home, task_id) for task_id in answer.task_ids))

    assert {end[-1].status for end in ends} == {COMPLETED}
    assert [BOARD.payloads[task_id]["number"] for task_id in answer.task_ids] == list(range(30))
    assert {BOARD.runs[task_id] for task_id in answer.task_ids} == {1}


async def test_lists_and_figures_are_those_of_http(world: World, rpc: Any, home: Household) -> None:
    ids = [await rpc.submit(home, do) for do in ("report", "fatal x", "")]
    for task_id in ids:
        await rpc.follow(home, task_id)
    await rpc.submit(home, delay={"seconds": 3600})

    page = await rpc.tasks.List(ListRequest(), metadata=rpc.of(home.owner))
    recent = (await world.client(home.owner).get("/api/v1/tasks/recent")).json()
    stats = await rpc.tasks.Stats(StatsRequest(), metadata=rpc.of(home.owner))
    figures = (await world.client(home.owner).get("/api/v1/tasks/stats")).json()

    assert [task.task_id for task in page.tasks] == [row["id"] for row in recent]
    for task, row in zip(page.tasks, recent, strict=True):
        same(task, row)
    assert {name: getattr(stats, name) for name in figures} == figures


async def test_an_idempotency_key_holds_across_a_flip(world: World, rpc: Any, home: Household) -> None:
    task = NewTask(task_type="contract_probe", project_id=home.project_id)
    request = SubmitRequest(task=task, idempotency_key=f"key-{home.name}")
    first = await rpc.tasks.Submit(request, metadata=rpc.of(home.owner))
    await world.flip()
    again = await rpc.tasks.Submit(request, metadata=rpc.of(home.owner))
    await rpc.follow(home, first.task.task_id)

    assert (again.task.task_id, again.replayed) == (first.task.task_id, True)
    assert BOARD.runs[first.task.task_id] == 1


@pytest.mark.parametrize("who", ["stranger", "nobody"])
async def test_a_task_belongs_to_its_tenant(
    world: World, rpc: Any, home: Household, stranger: Household, who: str
) -> None:
    task_id = await rpc.submit(home)
    metadata = rpc.of(stranger.owner) if who == "stranger" else None
    expected = grpc.StatusCode.NOT_FOUND if who == "stranger" else grpc.StatusCode.UNAUTHENTICATED
    for call in (
        rpc.tasks.Get(GetRequest(task_id=task_id), metadata=metadata),
        rpc.tasks.Stop(StopRequest(task_id=task_id), metadata=metadata),
        rpc.tasks.Retry(RetryRequest(task_id=task_id), metadata=metadata),
        anext(aiter(rpc.tasks.Watch(WatchRequest(task_id=task_id), metadata=metadata))),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is expected
    assert (await rpc.follow(home, task_id))[-1].status == COMPLETED
