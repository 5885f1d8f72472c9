"""What comes in is bounded: by the key, by the time it takes, by the number of connections."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import Counter
from typing import Any, NamedTuple

import grpc
import psutil
import pytest
from taskgate.v1 import NewTask, StatsRequest, SubmitRequest

from gateway.access.keys import create_key
from tests.integration.rpc.conftest import Wire, flood_of

Code = grpc.StatusCode


#: How a flood may be answered; one call has 20 seconds, and waits for those before it.
ANSWERS = {
    "garbage": {"INVALID_ARGUMENT", "DEADLINE_EXCEEDED"},
    "text": {"OK", "DEADLINE_EXCEEDED"},
    "values": {"INVALID_ARGUMENT", "DEADLINE_EXCEEDED"},
    "unfinished": {"DEADLINE_EXCEEDED"},
    "batch": {"OK", "RESOURCE_EXHAUSTED"},
}


class Flooded(NamedTuple):
    """How the messages were answered, and by how much this process, where the server is, had grown at most."""

    answers: Counter[str]
    megabytes: int


MEGABYTE = 1024 * 1024
#: The head of a message of which nothing more follows.
HALF = struct.pack(">BI", 0, MEGABYTE) + bytes(100)


async def flood(face: Any, key: str, kind: str, count: int = 60, size: int = 10 * MEGABYTE - 1024) -> Flooded:
    """So many messages of nearly the largest size at once from another process, while others are answered."""
    me = psutil.Process()
    before = most = me.memory_info().rss
    process = await flood_of(face, key, kind, count, size)
    answers = asyncio.create_task(process.communicate())
    async with asyncio.timeout(180):
        while not answers.done():
            await face.tasks.Stats(StatsRequest(), metadata=face.root, timeout=10)
            most = max(most, me.memory_info().rss)
    return Flooded(Counter((await answers)[0].decode().split()), (most - before) // MEGABYTE)


@pytest.mark.parametrize("kind", ["garbage", "unfinished"])
async def test_messages_under_an_unknown_key_are_not_read(face: Any, kind: str) -> None:
    found = await flood(face, create_key(), kind)
    assert found.answers == {"UNAUTHENTICATED": 60}
    assert found.megabytes < 100


@pytest.mark.parametrize("kind", ["garbage", "text", "values", "unfinished", "batch"])
async def test_messages_under_a_key_hold_a_bounded_amount(faces: Any, kind: str) -> None:
    """A few times what a key may have: grpc holds a message twice while it is read, and intake while it is written.

    Without the bounds 850 MB were held by messages that were garbage or unfinished, 1.4 GB by texts, and more than 2 GB
    by small values. Others are answered meanwhile.
    """
    face = await faces(max_held_bytes_per_key=48 * MEGABYTE)
    found = await flood(face, face.world.keys["bob"], kind)
    assert found.answers.total() == 60
    assert found.answers.keys() <= ANSWERS[kind], found
    assert found.megabytes < 600, found


async def test_a_key_that_was_valid_is_refused_once_it_is_not(face: Any, refusal: Any) -> None:
    await face.submit()
    await face.gateway.database.execute("UPDATE api_keys SET is_active = false WHERE id = 'ann'")
    submit = SubmitRequest(task=NewTask(task_type="probe"))
    for _ in range(2):
        refused = await refusal(face.tasks.Submit(submit, metadata=face.ann))
        assert refused.code is Code.UNAUTHENTICATED


async def test_a_message_that_does_not_come_is_not_waited_for(wire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rpc.receiving.MESSAGE_SECONDS", 0.2)
    reader, writer = await wire.connect()
    writer.write(wire.opening("Submit") + wire.frame(0, 0, 1, HALF))
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"grpc-status")
    writer.close()
    assert answer


async def test_unfinished_messages_of_one_key_leave_room_for_other_keys(faces: Any) -> None:
    """Ann's further calls wait; bob's are answered."""
    face = await faces(max_body_bytes=MEGABYTE, max_held_bytes_per_key=2 * MEGABYTE, max_held_bytes=MEGABYTE)
    wire = Wire(face)
    connections = []
    for _ in range(2):
        reader, writer = await wire.connect()
        writer.write(wire.opening("Get") + wire.frame(0, 0, 1, HALF))
        connections.append((reader, writer))
    submit = SubmitRequest(task=NewTask(task_type="probe"))
    async with asyncio.timeout(10):
        while True:
            waiting = face.tasks.Submit(submit, metadata=face.ann, timeout=0.5)
            assert await face.submit("bob")
            with contextlib.suppress(grpc.aio.AioRpcError):
                await waiting
                continue
            break
    assert await waiting.code() is Code.DEADLINE_EXCEEDED
    for _, writer in connections:
        writer.close()
    async with asyncio.timeout(10):
        assert await face.submit()


async def test_no_more_connections_than_the_limit(faces: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rpc.server.MOST_CONNECTIONS", 3)
    face = await faces()
    await face.tasks.Stats(StatsRequest(), metadata=face.ann)
    connections = [await asyncio.open_connection("127.0.0.1", face.server.port) for _ in range(6)]
    refused = 0
    for reader, _ in connections:
        async with asyncio.timeout(10):
            # The server speaks first, with its settings, on a connection that it takes.
            refused += await _ends(reader)
    assert refused == 4
    assert (await face.tasks.Stats(StatsRequest(), metadata=face.ann)).total == 0
    for _, writer in connections:
        writer.close()


async def _ends(reader: asyncio.StreamReader) -> bool:
    """Whether the connection was closed before anything was said on it."""
    try:
        return not await reader.read(1)
    except ConnectionResetError:
        return True
