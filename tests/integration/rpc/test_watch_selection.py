"""WatchSelection and GetPayload: a list that is followed, and what a task was given, as over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from taskgate.v1 import (
    GetPayloadRequest,
    StopRequest,
    TaskSelection,
    TaskState,
    WatchSelectionRequest,
    WatchSelectionResponse,
)

Code = grpc.StatusCode


async def opened(face: Any, metadata: Any, **properties: Any) -> tuple[Any, AsyncIterator[WatchSelectionResponse]]:
    """A stream that tells what changes from now on."""
    # A gateway that has just begun to listen tells that something was missed.
    await face.gateway.feed.wait_listening()
    request = WatchSelectionRequest(filter=TaskSelection(**properties))
    call = face.tasks.WatchSelection(request, metadata=metadata, timeout=60)
    answers = aiter(call)
    assert await anext(answers) == WatchSelectionResponse()
    return call, answers


async def first_of(answers: AsyncIterator[WatchSelectionResponse], task_id: str) -> WatchSelectionResponse:
    async with asyncio.timeout(20):
        async for answer in answers:
            if task_id in [*answer.others, *(task.task_id for task in answer.tasks)]:
                return answer
    raise AssertionError("the stream ended")


async def test_it_tells_what_is_accepted_and_what_becomes_of_it(face: Any) -> None:
    call, answers = await opened(face, face.ann)
    waiting, others = await opened(face, face.ann, state=[TaskState.TASK_STATE_WAITING])
    task_id = await face.submit()
    (task,) = (await first_of(answers, task_id)).tasks
    assert (task.task_id, task.state, task.tenant_id) == (task_id, TaskState.TASK_STATE_WAITING, "t-ann")
    await first_of(others, task_id)
    await face.tasks.Stop(StopRequest(task_id=task_id), metadata=face.ann)
    (task,) = (await first_of(answers, task_id)).tasks
    assert task.state == TaskState.TASK_STATE_STOPPED
    assert await first_of(others, task_id) == WatchSelectionResponse(others=[task_id])
    call.cancel()
    waiting.cancel()


async def test_nobody_hears_of_tasks_of_others(face: Any) -> None:
    call, answers = await opened(face, face.bob)
    foreign = await face.submit()
    own = await face.submit("bob")
    async with asyncio.timeout(20):
        async for answer in answers:
            assert foreign not in str(answer)
            if own in str(answer):
                break
    call.cancel()


async def test_a_tenant_of_others_is_refused(face: Any, refusal: Any) -> None:
    request = WatchSelectionRequest(filter=TaskSelection(tenant_id="t-bob"))
    refused = await refusal(anext(aiter(face.tasks.WatchSelection(request, metadata=face.ann, timeout=20))))
    assert refused.code == Code.PERMISSION_DENIED
    assert face.gateway.any_task_watch.subscriptions == 0


async def test_a_gateway_that_ends_says_where_to_go_on(face: Any, refusal: Any) -> None:
    _, answers = await opened(face, face.ann)
    face.gateway.any_task_watch.end_streams()
    refused = await refusal(anext(answers))
    assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "SHUTTING_DOWN")


async def test_a_payload_is_shown_without_its_secrets(face: Any, refusal: Any) -> None:
    task_id = await face.submit(payload={"name": "kick-off", "api_key": "s3"})
    answer = await face.tasks.GetPayload(GetPayloadRequest(task_id=task_id), metadata=face.ann)
    given = answer.payload.struct_value
    assert (given["name"], given["api_key"]) == ("kick-off", "[redacted]")
    assert (answer.bytes > 0, answer.is_cut) == (True, False)
    refused = await refusal(face.tasks.GetPayload(GetPayloadRequest(task_id=task_id), metadata=face.bob))
    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "TASK_NOT_FOUND")


@pytest.mark.parametrize("name", ["ann", "root"])
async def test_it_ends_when_the_rights_of_who_follows_change(face: Any, refusal: Any, name: str) -> None:
    run = face.gateway.database.execute
    await run("INSERT INTO user_tenants (user_id, tenant_id, role) VALUES ('ann', 't-bob', 'member')")
    _, answers = await opened(face, face.world.metadata(name))
    await first_of(answers, await face.submit("bob"))
    await run("DELETE FROM user_tenants WHERE user_id = 'ann'")
    await run("DELETE FROM user_roles WHERE user_id = 'root'")
    async with asyncio.timeout(5):
        refused = await refusal(anext(answers))
    assert (refused.code, refused.reason) == (Code.PERMISSION_DENIED, "FORBIDDEN")
    call, answers = await opened(face, face.world.metadata(name))
    foreign = await face.submit("bob")
    if name == "ann":
        assert foreign not in str(await first_of(answers, await face.submit()))
    call.cancel()
