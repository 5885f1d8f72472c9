"""Whatever is sent, the answer is never INTERNAL or UNKNOWN, and the gateway serves on."""

from __future__ import annotations

import gzip
import struct
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from taskgate.v1 import (
    BatchSettings,
    GetRequest,
    ListRequest,
    NewTask,
    RetryRequest,
    StatsRequest,
    StopRequest,
    SubmitBatchRequest,
    SubmitRequest,
    WatchRequest,
)

Code = grpc.StatusCode

UNARY: dict[str, type[Message]] = {
    "Submit": SubmitRequest,
    "Get": GetRequest,
    "List": ListRequest,
    "Retry": RetryRequest,
    "Stop": StopRequest,
    "Stats": StatsRequest,
}

fuzzed = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

texts = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", "\0", "a\0b", "p-ann", "t-ann", "tenant:t-ann", "tenant:", "'; --", "%", "\\", "😀" * 20, "x" * 5000]
    ),
)
int32s = st.integers(-(2**31), 2**31 - 1)
int64s = st.integers(-(2**63), 2**63 - 1)
leaves = st.one_of(
    st.none(), st.booleans(), st.floats(), int64s.map(float), st.text(max_size=20), st.just("\0"), st.just("p-bob")
)
names = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            "group_id",
            "tenant_id",
            "project_id",
            "memory_id",
            "user_id",
            "task_id",
            "task_type",
            "timestamp",
            "dispatch_epoch",
        ]
    ),
)
payloads = st.dictionaries(
    names,
    st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
        max_leaves=12,
    ),
    max_size=5,
)


@st.composite
def new_tasks(draw: st.DrawFn) -> NewTask:
    task = NewTask(task_type=draw(st.one_of(texts, st.just("probe"), st.just("add_episode"))))
    if draw(st.booleans()):
        task.payload.update(draw(payloads))
    for name in ("project_id", "tenant_id", "group_id", "parent_task_id"):
        if draw(st.booleans()):
            setattr(task, name, draw(texts))
    if draw(st.booleans()):
        task.priority = draw(st.one_of(st.integers(0, 6), int32s))
    start = draw(st.sampled_from(["", "run_at", "delay"]))
    if start:
        part = getattr(task, start)
        part.seconds, part.nanos = draw(int64s), draw(int32s)
    return task


@st.composite
def submits(draw: st.DrawFn) -> SubmitRequest:
    request = SubmitRequest()
    if draw(st.booleans()):
        request.task.CopyFrom(draw(new_tasks()))
    if draw(st.booleans()):
        request.idempotency_key = draw(texts)
    return request


@st.composite
def batches(draw: st.DrawFn) -> list[SubmitBatchRequest]:
    part = st.one_of(
        st.builds(SubmitBatchRequest),
        texts.map(lambda key: SubmitBatchRequest(settings=BatchSettings(idempotency_key=key))),
        new_tasks().map(lambda task: SubmitBatchRequest(task=task)),
    )
    return draw(st.lists(part, max_size=4))


@st.composite
def lists(draw: st.DrawFn) -> ListRequest:
    request = ListRequest(
        page_size=draw(int32s), page_token=draw(texts), status=draw(st.one_of(st.integers(0, 5), int32s))
    )
    for name in ("task_type", "entity_id", "entity_type", "search"):
        if draw(st.booleans()):
            setattr(request, name, draw(texts))
    request.read_mask.paths.extend(draw(st.lists(st.one_of(texts, st.just("task_id")), max_size=2)))
    return request


def bytes_of(message: Message) -> bytes:
    return message.SerializeToString()


def length_prefixed(raw: bytes) -> bytes:
    """As a field of a message."""
    size, prefix = len(raw), b""
    while size > 127:
        prefix, size = prefix + bytes([size & 127 | 128]), size >> 7
    return prefix + bytes([size]) + raw


async def outcome(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return Code.OK


@pytest.mark.parametrize("method", UNARY)
@fuzzed
@given(raw=st.binary(max_size=300))
async def test_bytes_that_may_be_no_message(face: Any, method: str, raw: bytes) -> None:
    call = face.channel.unary_unary(f"/taskgate.v1.TaskService/{method}")
    assert await outcome(call(raw, metadata=face.ann)) in face.answers


@fuzzed
@given(request=submits(), data=st.data())
async def test_messages_with_broken_bytes(face: Any, request: SubmitRequest, data: st.DataObject) -> None:
    raw = bytearray(request.SerializeToString(deterministic=True))
    for _ in range(data.draw(st.integers(0, 4)) if raw else 0):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    call = face.channel.unary_unary("/taskgate.v1.TaskService/Submit")
    assert await outcome(call(bytes(raw), metadata=face.ann)) in face.answers


@fuzzed
@given(request=submits())
async def test_submits(face: Any, request: SubmitRequest) -> None:
    assert await outcome(face.tasks.Submit(request, metadata=face.ann)) in face.answers


@fuzzed
@given(parts=batches())
async def test_batches(face: Any, parts: list[SubmitBatchRequest]) -> None:
    assert await outcome(face.tasks.SubmitBatch(iter(parts), metadata=face.ann)) in face.answers


@fuzzed
@given(parts=st.lists(st.binary(max_size=60), max_size=4))
async def test_batches_of_bytes(face: Any, parts: list[bytes]) -> None:
    call = face.channel.stream_unary("/taskgate.v1.TaskService/SubmitBatch")
    assert await outcome(call(iter(parts), metadata=face.ann)) in face.answers


@fuzzed
@given(request=lists())
async def test_lists(face: Any, request: ListRequest) -> None:
    assert await outcome(face.tasks.List(request, metadata=face.ann)) in face.answers


@fuzzed
@given(task_id=texts, paths=st.lists(texts, max_size=3))
async def test_ids(face: Any, task_id: str, paths: list[str]) -> None:
    request = GetRequest(task_id=task_id)
    request.read_mask.paths.extend(paths)
    assert await outcome(face.tasks.Get(request, metadata=face.ann)) in face.answers
    assert await outcome(face.tasks.Retry(RetryRequest(task_id=task_id), metadata=face.ann)) in face.answers
    assert await outcome(face.tasks.Stop(StopRequest(task_id=task_id), metadata=face.ann)) in face.answers


async def read(call: Any) -> None:
    async for _ in call:
        break


@fuzzed
@given(raw=st.one_of(st.binary(max_size=60), st.builds(WatchRequest, task_id=texts, resume_token=texts).map(bytes_of)))
async def test_watches(face: Any, raw: bytes) -> None:
    call = face.channel.unary_stream("/taskgate.v1.TaskService/Watch")
    assert await outcome(read(call(raw, metadata=face.ann))) in face.answers


@fuzzed
@given(header=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=100))
async def test_authorization_metadata(face: Any, header: str) -> None:
    assert await outcome(face.tasks.Stats(StatsRequest(), metadata=[("authorization", header)])) is Code.UNAUTHENTICATED


@pytest.mark.parametrize(
    "method",
    [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ],
)
@fuzzed
@given(raw=st.one_of(st.binary(max_size=60), texts.map(lambda text: b"\x22" + length_prefixed(text.encode()))))
async def test_health_and_reflection(face: Any, method: str, raw: bytes) -> None:
    call = face.channel.stream_stream(method)(iter([raw]))
    assert await outcome(read(call)) in face.answers


@pytest.mark.parametrize("method", ["Submit", "Get", "SubmitBatch", "Watch"])
@pytest.mark.parametrize("body", [b"", b"\0\0", struct.pack(">BI", 0, 10) + b"short"], ids=["nothing", "half", "short"])
async def test_a_call_without_a_whole_message_is_answered(face: Any, wire: Any, method: str, body: bytes) -> None:
    assert await wire.call(method, body) is Code.INVALID_ARGUMENT
    assert (await face.tasks.Stats(StatsRequest(), metadata=face.ann)).total == 0


async def test_an_announced_size_over_the_limit(wire: Any) -> None:
    assert await wire.call("Submit", struct.pack(">BI", 0, 2**32 - 1)) is Code.RESOURCE_EXHAUSTED


async def test_a_compressed_request(wire: Any) -> None:
    raw = SubmitRequest(task=NewTask(task_type="probe")).SerializeToString()
    assert await wire.call("Submit", wire.message(gzip.compress(raw), 1), grpc_encoding="gzip") is Code.OK


async def test_a_decompression_bomb(wire: Any) -> None:
    """50 MB in 50 KB: refused when it passes the limit, not when it is unpacked."""
    bomb = wire.message(gzip.compress(bytes(50 * 1024 * 1024)), 1)
    assert len(bomb) < 65_535
    assert await wire.call("Submit", bomb, grpc_encoding="gzip") is Code.RESOURCE_EXHAUSTED
