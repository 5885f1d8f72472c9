"""What holds for each method of each service: keys, malformed messages, and no INTERNAL whatever is sent."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.rpc.generate import PROTOS

Code = grpc.StatusCode
SERVICES = [
    service
    for proto in PROTOS
    for service in import_module(f"taskgate.v1.{Path(proto).stem}_pb2").DESCRIPTOR.services_by_name.values()
]
UNARY = {
    f"/{service.full_name}/{method.name}": GetMessageClass(method.input_type)
    for service in SERVICES
    for method in service.methods
    if not method.client_streaming and not method.server_streaming
}
#: What some of them may end with, beside `face.answers`.
MORE = {Code.ALREADY_EXISTS, Code.UNIMPLEMENTED, Code.ABORTED}

texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            *("", "\0", "a\0b", "t-ann", "t-bob", "p-ann", "probe", "redis", "episode", "1", "'; --", "%", "x" * 5000),
            *("name: a\nnodes: {}", "nodes: {a: {type: probe}}", "[", "* * * * *", "Europe/Berlin", "https://a.org/x"),
            *("definition", "action", "specs"),
        ]
    ),
)
int32s = st.one_of(st.integers(-1, 6), st.integers(-(2**31), 2**31 - 1))
int64s = st.one_of(st.integers(-1, 10), st.integers(-(2**63), 2**63 - 1))
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: texts,
    FieldDescriptor.TYPE_INT32: int32s,
    FieldDescriptor.TYPE_INT64: int64s,
    FieldDescriptor.TYPE_ENUM: st.one_of(st.integers(0, 6), int32s),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
}


def fill(draw: st.DrawFn, message: Message, depth: int) -> None:
    """Set some of the fields, and of those fields again some, at random."""
    field: Any
    for field in message.DESCRIPTOR.fields:
        if not draw(st.integers(0, 2)):
            continue
        target = getattr(message, field.name)
        kind = field.message_type
        if kind is not None and depth <= 0:
            continue
        if kind is not None and kind.GetOptions().map_entry:
            key = draw(texts)
            if kind.fields_by_name["value"].message_type is None:
                target[key] = draw(SCALARS[kind.fields_by_name["value"].type])
            else:
                fill(draw, target[key], depth - 1)
        elif field.is_repeated:
            for _ in range(draw(st.integers(0, 2))):
                if kind is None:
                    target.append(draw(SCALARS[field.type]))
                else:
                    fill(draw, target.add(), depth - 1)
        elif kind is None:
            setattr(message, field.name, draw(SCALARS[field.type]))
        else:
            target.SetInParent()
            fill(draw, target, depth - 1)


@st.composite
def requests(draw: st.DrawFn, kind: type[Message]) -> bytes:
    message = kind()
    fill(draw, message, 5)
    return message.SerializeToString()


async def code_of(face: Any, method: str, raw: bytes, metadata: Any) -> grpc.StatusCode:
    call = face.channel.unary_unary(method)(raw, metadata=metadata)
    code: grpc.StatusCode = await call.code()
    assert code in face.answers | MORE, f"{code} {await call.details()}"
    return code


@pytest.mark.parametrize("raw", [b"", b"\xff\xff"])
async def test_every_method_looks_at_the_key_first(face: Any, refusal: Any, raw: bytes) -> None:
    for method in UNARY:
        for metadata in ([], [("authorization", "Bearer ms_sk_" + "0" * 64)]):
            refused = await refusal(face.channel.unary_unary(method)(raw, metadata=metadata))
            assert refused.code is Code.UNAUTHENTICATED, method


async def test_bytes_that_are_no_message(face: Any) -> None:
    for method, kind in UNARY.items():
        if kind.DESCRIPTOR.fields:
            assert await code_of(face, method, b"\xff\xff", face.root) is Code.INVALID_ARGUMENT, method


async def test_what_is_for_administrators(face: Any, refusal: Any) -> None:
    for service, method in (
        *(("TenantService", name) for name in ("ChangeTenant", "SetQuota", "ClearQuota", "RemovePause")),
        *(("WorkerService", name) for name in ("ListWorkers", "GetWorker", "DrainWorker", "GetScale")),
        ("MigrationService", "Drain"),
    ):
        refused = await refusal(face.channel.unary_unary(f"/taskgate.v1.{service}/{method}")(b"", metadata=face.ann))
        assert refused.code is Code.PERMISSION_DENIED, method


@pytest.mark.parametrize("service", [service.name for service in SERVICES])
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
async def test_any_request(face: Any, service: str, data: st.DataObject) -> None:
    """By ann, who belongs to a tenant, and by an administrator."""
    methods = sorted(method for method in UNARY if method.startswith(f"/taskgate.v1.{service}/"))
    method = data.draw(st.sampled_from(methods))
    raw = data.draw(requests(UNARY[method]))
    for metadata in (face.ann, face.root):
        await code_of(face, method, raw, metadata)
