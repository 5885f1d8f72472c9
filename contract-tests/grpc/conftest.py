"""The gRPC face of the world, and the client in Go."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from taskgate.v1 import NewTask, SubmitRequest, Task, TaskServiceStub, WatchRequest

from contracts import programs
from contracts.people import Household, Person
from contracts.world import PATIENCE, World
from gateway.rpc.generate import HERE, PROTOS
from gateway.rpc.server import GrpcServer

GO = Path(__file__).parent / "go"
MODULE = "taskgate.test/client/taskgatev1"
PLUGINS = ("google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc")


@dataclass
class Client:
    """Calls of the world's gateway over gRPC."""

    address: str
    tasks: TaskServiceStub

    @staticmethod
    def of(person: Person) -> list[tuple[str, str]]:
        """The metadata of this person's calls."""
        return [("authorization", f"Bearer {person.key}")]

    async def submit(self, home: Household, do: str = "", **more: object) -> str:
        """A `contract_probe` task of the household; its id."""
        task = NewTask(task_type="contract_probe", project_id=home.project_id, **more)  # type: ignore[arg-type]
        task.payload.update({"do": do})
        answer = await self.tasks.Submit(SubmitRequest(task=task), metadata=self.of(home.owner), timeout=PATIENCE)
        return answer.task.task_id

    async def follow(self, home: Household, task_id: str) -> list[Task]:
        """What a watch shows, to the end of the task."""
        call = self.tasks.Watch(WatchRequest(task_id=task_id), metadata=self.of(home.owner), timeout=PATIENCE)
        return [answer.task async for answer in call]


@pytest_asyncio.fixture(scope="session")
async def rpc(world: World) -> AsyncIterator[Client]:
    """A client of the gRPC face, which is opened beside the HTTP face of the same gateway."""
    gateway = world.gateway
    gateway.settings = gateway.settings.model_copy(update={"grpc_port": 0, "drain_seconds": 1.0})
    server = GrpcServer(gateway)
    await server.start()
    # Until then the service is not healthy.
    await gateway.feed.wait_listening()
    address = f"127.0.0.1:{server.port}"
    async with grpc.aio.insecure_channel(address) as channel:
        yield Client(address, TaskServiceStub(channel))
    await server.stop()


async def _run(*argv: object, cwd: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *map(str, argv), cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, f"{argv[0]}: {output.decode()}"


@pytest_asyncio.fixture(scope="session")
async def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests in Go as a program, compiled with what protoc makes of the protos. Go keeps what it has built."""
    go = programs.go()
    directory = tmp_path_factory.mktemp("go") / "client"
    shutil.copytree(GO, directory)
    plugins = []
    for package in PLUGINS:
        plugin = directory / "bin" / package.rpartition("/")[2]
        await _run(go, "build", "-trimpath", "-o", plugin, package, cwd=directory)
        plugins.append(f"--plugin={plugin.name}={plugin}")
    mapped = [f"--{kind}_opt=M{proto}={MODULE}" for kind in ("go", "go-grpc") for proto in PROTOS]
    from grpc_tools import protoc

    (directory / "taskgatev1").mkdir()
    outputs = [f"--{kind}_out={directory}" for kind in ("go", "go-grpc")]
    stripped = [f"--{kind}_opt=module=taskgate.test/client" for kind in ("go", "go-grpc")]
    wellknown = f"--proto_path={resources.files('grpc_tools') / '_proto'}"
    arguments = ["protoc", f"--proto_path={HERE}", wellknown, *plugins, *outputs, *mapped, *stripped, *PROTOS]
    assert protoc.main(arguments) == 0
    await _run(go, "test", "-trimpath", "-c", "-o", directory / "client.test", ".", cwd=directory)
    return directory / "client.test"


@pytest.fixture
def go_environment() -> dict[str, str]:
    """What a Go program needs of the environment."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
