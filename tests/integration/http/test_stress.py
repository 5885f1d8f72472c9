"""Large bodies while connections are cut and children that look at them are killed: nobody is answered 500."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from typing import Any

import psutil
import pytest

from contracts.children import parsing_children
from gateway.bootstrap import build_gateway
from gateway.http.bodies import SMALL_BYTES
from gateway.settings import Settings
from gateway.storage.database import Database

pytestmark = pytest.mark.system

BODY = b'{"type": "probe", "payload": {"text": "' + b"x" * (SMALL_BYTES + 50_000) + b'"}}'


async def send(port: int, key: str, cut: float | None) -> int | None:
    """The status of the answer; None when the connection is cut before, so many seconds after it began."""
    head = (
        f"POST /gateway/v1/tasks HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(cut):
                # A part, so that a cut falls into the body, too.
                writer.write(head.encode() + BODY[:100_000])
                await asyncio.sleep(0 if cut is None else cut / 3)
                writer.write(BODY[100_000:])
                await writer.drain()
                return int((await reader.readuntil(b"\r\n")).split()[1])
    finally:
        writer.transport.abort()
    return None


async def test_cut_connections_and_killed_children_are_nobody_elses_fault(
    serve_http: Any, database: Database, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    answers: Counter[int | None] = Counter()
    running = True

    async def client(port: int, number: int) -> None:
        chance = random.Random(number)
        for turn in range(8):
            answers[await send(port, key, chance.uniform(0.01, 0.6) if turn % 2 else None)] += 1

    async def kill() -> None:
        chance = random.Random(0)
        while running:
            if children := parsing_children():
                with contextlib.suppress(psutil.Error):
                    chance.choice(children).kill()
            await asyncio.sleep(1)

    settings = Settings(database_url=database.url, grpc_enabled=False)
    with caplog.at_level(logging.ERROR):
        async with serve_http(build_gateway(settings, engines={})) as port:
            killing = asyncio.create_task(kill())
            async with asyncio.timeout(100):
                await asyncio.gather(*(client(port, number) for number in range(6)))
            running = False
            await killing
            assert await send(port, key, None) == 202
    assert not caplog.records
    # 503: its child was killed twice.
    assert answers.keys() <= {202, 503, None}, answers
    assert answers[202] >= 16
