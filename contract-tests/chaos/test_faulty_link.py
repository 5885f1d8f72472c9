"""What a faulty link does to a connection."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from faulty_link import FaultyLink

LATE_SECONDS = 0.2


@pytest.fixture
async def link() -> AsyncIterator[FaultyLink]:
    """Before a server that says everything once more."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    link = FaultyLink("127.0.0.1", server.sockets[0].getsockname()[1])
    await link.open()
    yield link
    await link.close()
    server.close()


async def test_late_answers_come_in_order_before_those_that_are_in_time(link: FaultyLink) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    writer.write(b"0")
    assert await reader.readexactly(1) == b"0"
    link.answers_late, began = LATE_SECONDS, time.monotonic()
    for number in (b"1", b"2", b"3"):
        writer.write(number)
        await writer.drain()
    async with asyncio.timeout(10):
        assert await reader.readexactly(3) == b"123"
        assert time.monotonic() - began >= LATE_SECONDS
        writer.write(b"4")
        link.answers_late = 0.0
        writer.write(b"5")
        assert await reader.readexactly(2) == b"45"
        writer.write_eof()
        assert await reader.read() == b""
    writer.close()


async def test_late_requests(link: FaultyLink) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    link.requests_late, began = LATE_SECONDS, time.monotonic()
    writer.write(b"1")
    async with asyncio.timeout(10):
        assert await reader.readexactly(1) == b"1"
    assert time.monotonic() - began >= LATE_SECONDS
    writer.close()
