"""The gRPC face on a real database: two tenants, servers on free ports, and a worker's part played by hand."""

from __future__ import annotations

import asyncio
import re
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from taskgate.v1 import (
    CallbackServiceStub,
    DagRunServiceStub,
    DagServiceStub,
    DeadLetterServiceStub,
    MigrationServiceStub,
    NewTask,
    OperationServiceStub,
    ScheduleServiceStub,
    SubmitRequest,
    TaskServiceStub,
    TenantServiceStub,
)

from gateway.access.keys import create_key, hash_key
from gateway.bootstrap import Gateway, build_gateway
from gateway.rpc.server import GrpcServer
from gateway.settings import Settings
from gateway.storage.database import Database

KNOWN_DETAILS = {kind.DESCRIPTOR.full_name: kind for kind in (ErrorInfo, BadRequest, RetryInfo)}


class World:
    """Tenants t-ann and t-bob, each with a user, a key, and a project; root is the administrator."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.keys: dict[str, str] = {}

    async def populate(self) -> None:
        run = self.database.execute
        for name in ("ann", "bob", "root"):
            self.keys[name] = create_key()
            await run("INSERT INTO users (id, email, name, is_active) VALUES ($1, $1, $1, true)", name)
            await run(
                "INSERT INTO api_keys (id, key_hash, name, user_id, is_active) VALUES ($1, $2, 'test', $1, true)",
                name,
                hash_key(self.keys[name]),
            )
            if name == "root":
                continue
            await run("INSERT INTO tenants (id, name, owner_id, plan) VALUES ('t-' || $1, $1, $1, 'free')", name)
            await run(
                "INSERT INTO projects (id, tenant_id, name, owner_id, is_public)"
                " VALUES ('p-' || $1, 't-' || $1, $1, $1, false)",
                name,
            )
        await run("INSERT INTO roles (id, name) VALUES ('r1', 'admin')")
        await run("INSERT INTO user_roles (user_id, role_id) VALUES ('root', 'r1')")
        await run(
            "INSERT INTO taskgate.process (process_id, kind, host, pid, version, lock_key)"
            " VALUES ('w1', 'worker', 'here', 1, 'test', 1)"
        )

    def metadata(self, name: str = "ann") -> list[tuple[str, str]]:
        """What ann's calls carry."""
        return [("authorization", f"Bearer {self.keys[name]}")]


class Face:
    """A running gateway with its gRPC server and a client of it."""

    #: What a call with a valid key may end with, whatever is sent.
    answers = frozenset(
        {
            grpc.StatusCode.OK,
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.NOT_FOUND,
            grpc.StatusCode.PERMISSION_DENIED,
            grpc.StatusCode.FAILED_PRECONDITION,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        }
    )

    def __init__(self, gateway: Gateway, server: GrpcServer, channel: grpc.aio.Channel, world: World) -> None:
        self.gateway = gateway
        self.server = server
        self.channel = channel
        self.tasks = TaskServiceStub(channel)
        self.world = world
        self.ann = world.metadata("ann")
        self.bob = world.metadata("bob")
        self.root = world.metadata("root")

    async def submit(self, name: str = "ann", payload: dict[str, Any] | None = None, **fields: Any) -> str:
        """A new task of this user's; its id."""
        task = NewTask(task_type=fields.pop("task_type", "probe"), **fields)
        task.payload.update(payload or {})
        answer = await self.tasks.Submit(SubmitRequest(task=task), metadata=self.world.metadata(name))
        return answer.task.task_id

    async def begin(self, task_id: str) -> int:
        """A worker claims the task; its attempt."""
        await self.gateway.database.execute(
            "UPDATE taskgate.dispatch SET state = 'queued', backend = 'redis', epoch = epoch + 1 WHERE task_id = $1",
            task_id,
        )
        claim = await self.gateway.transitions.claim(task_id, "redis", None, "w1", with_payload=True)
        assert claim is not None
        return claim.attempt

    async def finish(self, task_id: str, result: Any = None) -> None:
        """A worker runs the task to its end."""
        attempt = await self.begin(task_id)
        await self.gateway.transitions.progress(task_id, attempt, progress=100, result=result)
        assert await self.gateway.transitions.complete(task_id, attempt)

    async def fail(self, task_id: str, error: str = "boom") -> None:
        """A worker fails at the task for good."""
        attempt = await self.begin(task_id)
        assert await self.gateway.transitions.fail(task_id, attempt, error, final=True, engine_retries=False)


class Wire:
    """HTTP/2 written byte by byte, for what a client library never does."""

    def __init__(self, face: Face) -> None:
        self._face = face

    @staticmethod
    def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload

    @staticmethod
    def message(raw: bytes, flags: int = 0) -> bytes:
        """A message as gRPC frames it."""
        return struct.pack(">BI", flags, len(raw)) + raw

    def opening(self, method: str, **headers: str) -> bytes:
        """The beginning of a connection and of a call with ann's key."""

        def text(value: str) -> bytes:
            return bytes([len(value)]) + value.encode()

        block = b"\x83\x86\x04" + text(f"/taskgate.v1.TaskService/{method}") + b"\x01" + text("gateway")
        known = {"content-type": "application/grpc", "te": "trailers", "authorization": self._face.world.keys["ann"]}
        for name, value in (known | {name.replace("_", "-"): value for name, value in headers.items()}).items():
            block += b"\x00" + text(name) + text(value)
        return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(4, 0, 0) + self.frame(1, 4, 1, block)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._face.server.port)

    async def call(self, method: str, body: bytes, **headers: str) -> grpc.StatusCode:
        """Send the bytes as a whole request; what it is answered with."""
        reader, writer = await self.connect()
        data = b"".join(self.frame(0, 0, 1, body[at : at + 16000]) for at in range(0, len(body), 16000))
        writer.write(self.opening(method, **headers) + data + self.frame(0, 1, 1))
        async with asyncio.timeout(10):
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] == 1 and head[4] & 1:
                    break
        writer.close()
        number = re.search(rb"grpc-status[\x01\x02](\d+)", payload)
        assert number is not None
        return next(code for code in grpc.StatusCode if code.value[0] == int(number[1]))


@pytest.fixture
def wire(face: Face) -> Wire:
    return Wire(face)


@pytest.fixture
async def world(database: Database) -> World:
    world = World(database)
    await world.populate()
    return world


@asynccontextmanager
async def open_face(world: World, **settings: Any) -> AsyncIterator[Face]:
    """A gateway without engines: what it accepts waits until `Face.begin`."""
    gateway = build_gateway(
        # Some tests try every method without a valid key.
        Settings(
            **{
                "database_url": world.database.url,
                "grpc_port": 0,
                "drain_seconds": 1,
                "failed_attempts_per_minute": 0,
                **settings,
            }
        ),
        engines={},
    )
    server = GrpcServer(gateway)
    await gateway.feed.start()
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Face(gateway, server, channel, world)
    finally:
        gateway.feed.end_streams()
        await server.stop()
        await gateway.close()


@pytest.fixture
async def face(world: World) -> AsyncIterator[Face]:
    async with open_face(world) as face:
        yield face


async def flood(address: str, key: str, kind: str, count: int, size: int) -> asyncio.subprocess.Process:
    """Another process that sends many large messages at once (`flood.py`); it says how each was answered."""
    program = str(Path(__file__).with_name("flood.py"))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, program, address, key, str(count), kind, str(size)), stdout=asyncio.subprocess.PIPE
    )


def stub(kind: type[Any]) -> Any:
    """A fixture: a service of `face`."""

    @pytest.fixture
    def service(face: Face) -> Any:
        return kind(face.channel)

    return service


callbacks = stub(CallbackServiceStub)
dags = stub(DagServiceStub)
letters = stub(DeadLetterServiceStub)
migration = stub(MigrationServiceStub)
operations = stub(OperationServiceStub)
runs = stub(DagRunServiceStub)
schedules = stub(ScheduleServiceStub)
tenants = stub(TenantServiceStub)


@pytest.fixture
async def faces(world: World) -> AsyncIterator[Any]:
    """Opens further gateways on the same database, with settings of their own."""
    async with AsyncExitStack() as stack:

        async def another(**settings: Any) -> Face:
            return await stack.enter_async_context(open_face(world, **settings))

        yield another


def details_of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """The details of an error by the names of their types."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = Status.FromString(value)
            assert status.code == error.code().value[0]
            found = {}
            for detail in status.details:
                kind = KNOWN_DETAILS[detail.TypeName()]
                message = kind()
                assert detail.Unpack(message)
                found[kind.__name__] = message
            return found
    return {}


@pytest.fixture
def refusal() -> Any:
    """Awaits a call that must be refused: its status code, and the reason, fields and pause of its details."""

    class Refusal:
        def __init__(self, error: grpc.aio.AioRpcError) -> None:
            found = details_of(error)
            self.code = error.code()
            self.message = error.details()
            info = found.get("ErrorInfo")
            self.reason = info.reason if info else None
            self.domain = info.domain if info else None
            self.metadata = dict(info.metadata) if info else {}
            self.fields = (
                [violation.field for violation in found["BadRequest"].field_violations] if "BadRequest" in found else []
            )
            self.retry_seconds = found["RetryInfo"].retry_delay.seconds if "RetryInfo" in found else None

    async def refused(call: Any) -> Refusal:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return Refusal(caught.value)

    return refused
