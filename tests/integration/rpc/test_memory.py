"""What messages hold of a gateway's memory is bounded, whoever sends them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from taskgate.v1 import StatsRequest, TaskServiceStub

from deploy.local.ports import free_port
from gateway.access.keys import create_key
from tests.integration.rpc.conftest import World, flood

pytestmark = pytest.mark.system

MEGABYTE = 1024 * 1024
SIZE = 10 * MEGABYTE - 1024
COUNT = 30
#: A connection of which nothing is read keeps one window of HTTP/2 (64 KB) and its own state.
CONNECTION = 0.25
#: Of a key are read, parsed and written as many messages at a time as its room has place for. Each may be there six
#: times: as it came, joined, as a message, as Python's text, as JSON, and in the driver's buffer.
READ = 2 * 6 * SIZE // MEGABYTE
#: What the process takes anyway when it is used for the first time: modules, connections, threads.
BEGINNING = 60

#: How a flood may be answered; one call has 20 seconds, and waits for those before it.
ANSWERS = {
    "garbage": {"INVALID_ARGUMENT", "DEADLINE_EXCEEDED"},
    "text": {"OK", "DEADLINE_EXCEEDED"},
    "values": {"INVALID_ARGUMENT", "DEADLINE_EXCEEDED"},
    "unfinished": {"DEADLINE_EXCEEDED"},
    "batch": {"OK", "RESOURCE_EXHAUSTED"},
}


class Served(NamedTuple):
    """A gateway in a process of its own."""

    pid: int
    address: str
    world: World

    def megabytes(self, what: str) -> int:
        """`VmRSS` now, or `VmHWM`, the most so far."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) // 1024


@pytest.fixture
async def served(
    world: World, database_url: str, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Served]:
    # Arenas that nothing lives in any more are memory of the C library, not of messages.
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", str(MEGABYTE))
    port = free_port()
    settings = {
        "GRPC_ENABLED": "true",
        "GRPC_PORT": str(port),
        "MAX_HELD_BYTES_PER_KEY": str(24 * MEGABYTE),
    }
    # Without an engine: what is accepted waits in PostgreSQL.
    async with serving(database_url, "redis://127.0.0.1:1", **settings) as (process, _):
        yield Served(process.pid, f"127.0.0.1:{port}", world)


async def growth(served: Served, key: str, kind: str) -> tuple[Counter[str], int]:
    """How a flood was answered, and by how many megabytes the gateway had grown at most. Others are answered."""
    async with grpc.aio.insecure_channel(served.address) as channel:
        tasks = TaskServiceStub(channel)
        await tasks.Stats(StatsRequest(), metadata=served.world.metadata("root"))
        before = served.megabytes("VmRSS")
        process = await flood(served.address, key, kind, COUNT, SIZE)
        answers = asyncio.create_task(process.communicate())
        async with asyncio.timeout(180):
            while not answers.done():
                await tasks.Stats(StatsRequest(), metadata=served.world.metadata("root"), timeout=10)
                await asyncio.wait([answers], timeout=0.05)
    return Counter(answers.result()[0].decode().split()), served.megabytes("VmHWM") - before


@pytest.mark.parametrize("kind", ["garbage", "unfinished"])
async def test_messages_under_an_unknown_key_are_not_read(served: Served, kind: str) -> None:
    answers, megabytes = await growth(served, create_key(), kind)
    assert answers == {"UNAUTHENTICATED": COUNT}
    assert megabytes < BEGINNING + COUNT * CONNECTION


@pytest.mark.parametrize("kind", ANSWERS)
async def test_messages_under_a_key_hold_a_bounded_amount(served: Served, kind: str) -> None:
    """1 to 116 MB; without the room of a key 289 and more."""
    answers, megabytes = await growth(served, served.world.keys["bob"], kind)
    assert answers.total() == COUNT
    assert answers.keys() <= ANSWERS[kind], answers
    assert megabytes < BEGINNING + COUNT * CONNECTION + READ, (megabytes, answers)
