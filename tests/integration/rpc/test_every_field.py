"""Each field of each request at its bounds, with ids and page tokens of another tenant: never INTERNAL or UNKNOWN,
never a word of the other tenant's, and messages of one line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from taskgate.v1 import (
    AddPauseRequest,
    ApplyDagRequest,
    CreateScheduleRequest,
    DagDocument,
    ListDeadLettersRequest,
    NewTask,
    OperationAction,
    ScheduleDefinition,
    ScheduleSpec,
    StartOperationRequest,
    TaskSelection,
)

from gateway.rpc.generate import PROTOS

pytestmark = pytest.mark.system

Code = grpc.StatusCode
SECRET = "the-secret-of-ann"

SERVICES: list[ServiceDescriptor] = [
    service
    for proto in PROTOS
    for service in import_module(f"taskgate.v1.{Path(proto).stem}_pb2").DESCRIPTOR.services_by_name.values()
]
#: What some of them may end with, beside `face.answers`.
MORE = {Code.ALREADY_EXISTS, Code.UNIMPLEMENTED, Code.ABORTED}

TEXTS = [
    "",
    "\0",
    "a\nb\rc",
    "x" * 1_000_000,
    "\u202e\ufeff\uffff\U0010ffff",
    "%",
    "[" * 50_000,
    "\x7f\x80",
    "t-ann",
    "p-ann",
]
INTEGERS = [0, -1, 101, 2**31 - 1, -(2**31)]
LONG_INTEGERS = [*INTEGERS, 2**53 + 1, 2**63 - 1, -(2**63)]
DOUBLES = [float("nan"), float("inf"), -0.0, 1e308, 5e-324, -1.0]
#: Seconds and nanos.
TIMES = [(-62135596800, 0), (-62135596801, 0), (253402300799, 999999999), (253402300800, 0), (2**63 - 1, 0), (0, -1)]
DURATIONS = [(0, 0), (1, -1), (0, 10**9), (315576000001, 0), (2**63 - 1, 0), (-(2**63), 0)]
BOUNDS: dict[int, Sequence[Any]] = {
    FieldDescriptor.TYPE_STRING: TEXTS,
    FieldDescriptor.TYPE_INT32: INTEGERS,
    FieldDescriptor.TYPE_INT64: LONG_INTEGERS,
    FieldDescriptor.TYPE_ENUM: [0, 1, 99, -1],
    FieldDescriptor.TYPE_BOOL: [True],
    FieldDescriptor.TYPE_DOUBLE: DOUBLES,
}

#: What lets a request pass its first checks, if a field has no presence.
PLAUSIBLE = {"task_type": "probe", "why": "because", "stage": "off", "name": "one", "cron": "0 3 * * *", "dag": "one"}


def nested(levels: int) -> dict[str, Any]:
    return {"deep": nested(levels - 1)} if levels else {"last": 1}


def put(message: Any, field: FieldDescriptor, value: Any) -> None:
    """Set one field that is no message of the API's own."""
    kind = field.message_type
    target = getattr(message, field.name)
    if kind is not None and kind.GetOptions().map_entry:
        target[value] = value
    elif kind is None and field.is_repeated:
        target.append(value)
    elif kind is None:
        setattr(message, field.name, value)
    elif kind.name in ("Timestamp", "Duration"):
        target.seconds, target.nanos = value
    elif kind.name == "FieldMask":
        target.paths.append(value)
    elif kind.name == "Value":
        target.SetInParent()
        if value is not None:
            target.struct_value.update(value)
    else:
        target.SetInParent()
        target.update(value or {})
        if value is None:
            target.fields["no kind"].SetInParent()


def bounds_of(field: FieldDescriptor) -> Sequence[Any]:
    kind = field.message_type
    if kind is None:
        return BOUNDS[field.type]
    if kind.GetOptions().map_entry:
        return ["", "\0", "x" * 5000] if kind.fields_by_name["value"].message_type is None else []
    return {
        "Timestamp": TIMES,
        "Duration": DURATIONS,
        "FieldMask": ["", "*", "\0", "a.b.c"],
        "Struct": [None, {"n": float("nan")}, {"\0": "\0"}, nested(30), {str(n): n for n in range(20_000)}],
        "Value": [None, {"n": float("inf")}, nested(30)],
    }[kind.name]


def is_own(kind: Descriptor | None) -> bool:
    """A message of the API, whose fields are looked at one by one."""
    return kind is not None and kind.full_name.startswith("taskgate.") and not kind.GetOptions().map_entry


def places(kind: Descriptor, depth: int = 4) -> Iterator[tuple[FieldDescriptor, ...]]:
    for field in kind.fields:
        if not is_own(field.message_type):
            yield (field,)
        elif depth:
            yield from ((field, *rest) for rest in places(field.message_type, depth - 1))


class Attack:
    """Calls with what is ann's, by bob and by an administrator."""

    def __init__(self, face: Any) -> None:
        self._face = face
        self._ids: dict[str, str] = {}
        self._tokens: list[str] = []
        self._calls = asyncio.Semaphore(8)
        self.wrong: list[str] = []

    def knows(self, **ids: str) -> None:
        """Ids of ann's."""
        self._ids.update(ids)

    async def collect_tokens(self) -> None:
        """The page tokens of all of ann's lists."""
        for service in SERVICES:
            for method in service.methods:
                kind = GetMessageClass(method.input_type)
                if method.name.startswith(("Dismiss", "Purge")) or "page_token" not in kind.DESCRIPTOR.fields_by_name:
                    continue
                for who in ("ann", "root"):
                    raw = kind(page_size=1).SerializeToString()
                    code, _, answer = await self._outcome(method, raw, self._face.world.metadata(who))
                    if code is Code.OK:
                        token = GetMessageClass(method.output_type).FromString(answer).next_page_token
                        self._tokens += [token, token[:-1], token + "A"] if token else []
        assert len(self._tokens) > 9

    def requests(self, method: MethodDescriptor) -> Iterator[tuple[str, bytes]]:
        """Each with one field at a bound, the others plausible."""
        yield "nothing", self._plausible(method.input_type).SerializeToString()
        for *way, field in places(method.input_type):
            values = [*bounds_of(field)]
            if field.name in self._ids:
                values.append(self._ids[field.name])
            if field.name == "page_token":
                values += self._tokens
            for value in values:
                request = target = self._plausible(method.input_type)
                for step in way:
                    inner = getattr(target, step.name)
                    target = inner.add() if step.is_repeated else inner
                    if not step.is_repeated:
                        target.SetInParent()
                put(target, field, value)
                yield f"{field.name} = {value!r:.60}", request.SerializeToString()

    def _plausible(self, kind: Descriptor, depth: int = 2) -> Any:
        message: Any = GetMessageClass(kind)()
        for field in kind.fields:
            if is_own(field.message_type) and not field.is_repeated and depth:
                getattr(message, field.name).CopyFrom(self._plausible(field.message_type, depth - 1))
            elif field.type == FieldDescriptor.TYPE_STRING and not (field.is_repeated or field.has_presence):
                setattr(message, field.name, self._ids.get(field.name, PLAUSIBLE.get(field.name, "")))
        return message

    async def send(self, who: str, method: MethodDescriptor, what: str, raw: bytes) -> None:
        async with self._calls:
            code, message, answer = await self._outcome(method, raw, self._face.world.metadata(who))
        said = f"{method.name} by {who}, {what}: {code.name} {message!r:.200}"
        if code not in self._face.answers | MORE:
            self.wrong.append(said)
        elif message.splitlines()[1:]:
            self.wrong.append(f"{said} has several lines")
        elif who == "bob" and SECRET.encode() in answer:
            self.wrong.append(f"{said} tells what is ann's")

    async def _outcome(self, method: MethodDescriptor, raw: bytes, metadata: Any) -> tuple[Code, str, bytes]:
        call = self._call(method)(iter([raw, raw]) if method.client_streaming else raw, metadata=metadata, timeout=20)
        try:
            if not method.server_streaming:
                return Code.OK, "", await call
            try:
                async with asyncio.timeout(0.2):  # what lasts is a watch of something that is there
                    return Code.OK, "", await call.read() or b""
            except TimeoutError:
                return Code.OK, "", b""
            finally:
                call.cancel()
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details() or "", error.debug_error_string().encode()

    def _call(self, method: MethodDescriptor) -> Any:
        path = f"/{method.containing_service.full_name}/{method.name}"
        if method.client_streaming:
            return self._face.channel.stream_unary(path)
        return (self._face.channel.unary_stream if method.server_streaming else self._face.channel.unary_unary)(path)


@pytest.fixture
async def attack(face: Any, schedules: Any, operations: Any, tenants: Any, dags: Any, letters: Any) -> Attack:
    """Ann has two of everything."""
    attack = Attack(face)
    for number in range(2):
        labels = {"a": SECRET}
        task_id = await face.submit(payload={"a": SECRET}, labels=labels, project_id="p-ann")
        await face.fail(await face.submit(payload={"a": SECRET}, labels=labels, project_id="p-ann"), SECRET)
        definition = ScheduleDefinition(
            name=f"{SECRET}-{number}", specs=[ScheduleSpec(cron="0 3 * * *")], action=NewTask(task_type="probe")
        )
        made = await schedules.CreateSchedule(CreateScheduleRequest(definition=definition), metadata=face.ann)
        started = await operations.StartOperation(
            StartOperationRequest(
                action=OperationAction.OPERATION_ACTION_CANCEL, filter=TaskSelection(labels={"a": "none"}), why=SECRET
            ),
            metadata=face.ann,
        )
        paused = await tenants.AddPause(
            AddPauseRequest(tenant_id="t-ann", task_type=f"none{number}", why=SECRET), metadata=face.root
        )
        document = DagDocument(text=f"name: {SECRET}\nnodes: {{a: {{type: probe}}}}")
        await dags.ApplyDag(ApplyDagRequest(name=SECRET, document=document, any_types=True), metadata=face.ann)
        attack.knows(
            task_id=task_id,
            parent_task_id=task_id,
            schedule_id=made.schedule.schedule_id,
            operation_id=started.operation.operation_id,
            pause_id=paused.pause.pause_id,
            tenant_id="t-ann",
            project_id="p-ann",
        )
    found = await letters.ListDeadLetters(ListDeadLettersRequest(), metadata=face.ann)
    attack.knows(id=found.dead_letters[0].id)
    await attack.collect_tokens()
    return attack


#: What only ann may change.
HERS = """
SELECT (SELECT array_agg(d::text ORDER BY d::text) FROM taskgate.dispatch d WHERE tenant_id = 't-ann')
    || (SELECT array_agg(s::text ORDER BY s::text) FROM taskgate.schedule s WHERE tenant_id = 't-ann')
    || (SELECT array_agg(l::text ORDER BY l::text) FROM taskgate.dead_letter l WHERE tenant_id = 't-ann')
"""


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
async def test_each_field_at_its_bounds(face: Any, attack: Attack, service: ServiceDescriptor) -> None:
    before = await face.world.database.fetchval(HERS)
    assert len(before) > 4
    for who in ("bob", "root"):
        await asyncio.gather(
            *(attack.send(who, method, *request) for method in service.methods for request in attack.requests(method))
        )
        assert not attack.wrong, "\n".join(attack.wrong[:20])
        if who == "bob":
            assert await face.world.database.fetchval(HERS) == before
