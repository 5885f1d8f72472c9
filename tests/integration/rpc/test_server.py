"""The server around the service: health, reflection, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from taskgate.v1 import GetRequest, NewTask, StatsRequest, SubmitRequest, WatchRequest

from gateway.rpc.server import GrpcServer

Code = grpc.StatusCode
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN


# Health -----------------------------------------------------------------------------------------------------


async def test_health_needs_no_key(face: Any, refusal: Any) -> None:
    await face.gateway.feed.wait_listening()
    health = HealthStub(face.channel)
    for service in ("", "taskgate.v1.TaskService"):
        assert (await health.Check(HealthCheckRequest(service=service))).status == SERVING
    refused = await refusal(health.Check(HealthCheckRequest(service="other")))
    assert refused.code is Code.NOT_FOUND


async def test_the_service_is_not_healthy_without_its_database(face: Any) -> None:
    await face.gateway.feed.wait_listening()
    health = HealthStub(face.channel)
    states = aiter(health.Watch(HealthCheckRequest(service="taskgate.v1.TaskService")))
    unknown = aiter(health.Watch(HealthCheckRequest(service="other")))
    assert (await anext(unknown)).status == UNKNOWN
    assert (await anext(states)).status == SERVING

    await face.gateway.listener.close()

    async with asyncio.timeout(10):
        assert (await anext(states)).status == NOT_SERVING
    assert (await health.Check(HealthCheckRequest())).status == SERVING


async def test_who_watches_health_is_told_of_the_end(face: Any) -> None:
    states = aiter(HealthStub(face.channel).Watch(HealthCheckRequest()))
    assert (await anext(states)).status == SERVING
    await face.server.stop()
    assert [state.status async for state in states] == [NOT_SERVING]


async def test_watches_of_health_do_not_use_up_what_others_need(
    face: Any, refusal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They need no key."""
    monkeypatch.setattr("gateway.rpc.health.MOST_WATCHES", 3)
    health = HealthStub(face.channel)
    watches = [health.Watch(HealthCheckRequest()) for _ in range(3)]
    for watch in watches:
        assert (await anext(aiter(watch))).status == SERVING
    refused = await refusal(anext(aiter(health.Watch(HealthCheckRequest()))))
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_OPEN")
    assert await face.submit()
    for watch in watches:
        watch.cancel()


# Reflection -------------------------------------------------------------------------------------------------


async def reflect(face: Any, version: str, question: ServerReflectionRequest) -> ServerReflectionResponse:
    call = face.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )(iter([question]))
    return await anext(aiter(call))


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_tools_learn_the_api(face: Any, version: str) -> None:
    listed = await reflect(face, version, ServerReflectionRequest(list_services=""))
    names = {service.name for service in listed.list_services_response.service}
    symbol = ServerReflectionRequest(file_containing_symbol="taskgate.v1.TaskService")
    described = await reflect(face, version, symbol)
    missing = await reflect(face, version, ServerReflectionRequest(file_containing_symbol="no.Such"))

    assert {"taskgate.v1.TaskService", "grpc.health.v1.Health"} <= names
    files = b"".join(described.file_descriptor_response.file_descriptor_proto)
    assert b"SubmitBatch" in files
    assert missing.error_response.error_code == Code.NOT_FOUND.value[0]


async def test_reflection_can_be_switched_off(faces: Any, refusal: Any) -> None:
    face = await faces(grpc_reflection=False)
    refused = await refusal(reflect(face, "v1", ServerReflectionRequest(list_services="")))
    assert refused.code is Code.UNIMPLEMENTED


async def test_a_method_that_does_not_exist(face: Any, refusal: Any) -> None:
    refused = await refusal(face.channel.unary_unary("/taskgate.v1.TaskService/Explode")(b""))
    assert refused.code is Code.UNIMPLEMENTED


# Start and end ----------------------------------------------------------------------------------------------


async def test_a_port_that_is_taken_is_an_error(face: Any) -> None:
    face.gateway.settings = face.gateway.settings.model_copy(update={"grpc_port": face.server.port})
    with pytest.raises(OSError, match="cannot listen"):
        await GrpcServer(face.gateway).start()


async def test_a_call_under_way_is_finished_before_the_end(faces: Any) -> None:
    """The database holds the submit up while the server is told to end."""
    face = await faces()
    async with face.gateway.database.transaction() as db:
        await db.execute("LOCK TABLE taskgate.dispatch IN ACCESS EXCLUSIVE MODE")
        submitting = asyncio.ensure_future(
            face.tasks.Submit(SubmitRequest(task=NewTask(task_type="probe")), metadata=face.ann)
        )
        blocked = "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE NOT l.granted"
        while not await face.world.database.fetchval(blocked):
            pass
        ending = asyncio.create_task(face.server.stop())
        await asyncio.wait((ending,), timeout=0.2)
        assert not ending.done()
    answer = await submitting
    await ending

    query = "SELECT count(*) FROM task_logs WHERE id = $1"
    assert await face.gateway.database.fetchval(query, answer.task.task_id) == 1


async def test_a_call_that_does_not_end_is_cut_after_the_grace(faces: Any) -> None:
    """An open batch whose client sends nothing more."""
    face = await faces()
    over = asyncio.Event()

    async def waiting() -> Any:
        """Sends nothing, and ends with the test."""
        await over.wait()
        for none in tuple[Any, ...]():
            yield none

    call = face.tasks.SubmitBatch(waiting(), metadata=face.ann)
    await face.tasks.Stats(StatsRequest(), metadata=face.ann)
    async with asyncio.timeout(8):
        await face.server.stop()
    with contextlib.suppress(asyncio.CancelledError), pytest.raises(grpc.aio.AioRpcError):
        await call
    over.set()  # grpc's client reads on until then, whatever became of the call


async def test_streams_end_with_the_server_at_once(faces: Any) -> None:
    """A watch is told to resume elsewhere, an open reflection stream is ended: neither uses up the grace."""
    face = await faces()
    face.gateway.settings = face.gateway.settings.model_copy(update={"drain_seconds": 60})
    task_id = await face.submit()
    watch = face.tasks.Watch(WatchRequest(task_id=task_id), metadata=face.ann)
    answers = aiter(watch)
    await anext(answers)
    questions: asyncio.Queue[ServerReflectionRequest | None] = asyncio.Queue()

    async def ask() -> Any:
        while (question := await questions.get()) is not None:
            yield question

    reflection = face.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
    )(ask())
    questions.put_nowait(ServerReflectionRequest(list_services=""))
    await anext(aiter(reflection))

    face.gateway.feed.end_streams()
    async with asyncio.timeout(10):
        await face.server.stop()

    assert await watch.code() is Code.UNAVAILABLE
    assert await reflection.code() is Code.UNAVAILABLE
    questions.put_nowait(None)


async def test_a_gateway_that_has_ended_its_streams_takes_no_new_ones(face: Any, refusal: Any) -> None:
    task_id = await face.submit()
    face.gateway.feed.end_streams()
    refused = await refusal(anext(aiter(face.tasks.Watch(WatchRequest(task_id=task_id), metadata=face.ann))))
    assert (refused.code, refused.reason, refused.retry_seconds) == (Code.UNAVAILABLE, "SHUTTING_DOWN", 1)
    assert (await face.tasks.Get(GetRequest(task_id=task_id), metadata=face.ann)).task.task_id == task_id
