"""What comes in is bounded: by the key, by the time it takes, by the number of connections."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Any

import grpc
import pytest
from taskgate.v1 import NewTask, StatsRequest, SubmitRequest

from tests.integration.rpc.conftest import Wire

Code = grpc.StatusCode


MEGABYTE = 1024 * 1024
#: The head of a message of which nothing more follows.
HALF = struct.pack(">BI", 0, MEGABYTE) + bytes(100)


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
