"""DATA and WINDOW_UPDATE: messages, and how much of them may be under way."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import grpc
import pytest

from gateway.rpc.wire import flow, frames


async def test_a_message_larger_than_the_window(client: Any) -> None:
    """It is granted as it comes; the limit is that of the message."""
    number = client.open("/test/Collect")
    client.send(number, bytes(900_000), end=False)
    granted = sum(
        int.from_bytes(p, "big") for k, _, s, p in client.frames() if (k, s) == (frames.WINDOW_UPDATE, number)
    )
    assert granted >= 600_000
    client.send(number, b"x")
    body, _ = await client.answer(number)
    assert body[5:] == b"[900000, 1]"


async def test_an_announced_size_beyond_the_limit(client: Any) -> None:
    number = client.open()
    client.feed(frames.frame(frames.DATA, 0, number, struct.pack(">BI", 0, 1_000_001)))
    _, trailers = await client.answer(number)
    assert trailers["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])


async def test_too_much_at_once_on_one_connection(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of messages that are kept are bounded for all streams together; what is over is given back."""
    monkeypatch.setattr(flow, "MOST_HELD", 1_000_000)
    begun = struct.pack(">BI", 0, 900_000) + bytes(15_000)
    numbers = [client.open() for _ in range(100)]
    for number in numbers:
        client.feed(frames.frame(frames.DATA, 0, number, begun))
    await client.until(lambda: len(client.connection.calls) == 66)
    assert client.connection.flow.held == 66 * len(begun)
    _, trailers = await client.answer(numbers[-1])
    assert trailers["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
    for number in numbers:
        client.feed(frames.reset(number, frames.CANCEL))
    assert client.connection.flow.held == 0
    number = client.open("/test/Collect")
    client.send(number, bytes(800_000))
    assert (await client.answer(number))[0][5:] == b"[800000]"


async def test_answers_wait_for_windows(client: Any) -> None:
    """96,000 bytes: as many as the windows allow, then the rest, then the end."""
    client.feed(frames.settings({frames.INITIAL_WINDOW_SIZE: 50_000}))
    number = client.open("/test/Stream", end=True)
    client.feed(frames.frame(frames.DATA, 1, number, b""))  # after its end: a reset of the stream
    number = client.open("/test/Stream")
    client.send(number, b"")
    await client.until(lambda: client.connection.flow.blocked)
    sent = sum(len(p) for k, _, s, p in client.frames() if (k, s) == (frames.DATA, number))
    assert sent == 50_000
    client.feed(frames.settings({frames.INITIAL_WINDOW_SIZE: 200_000}))
    await client.until(lambda: client.connection.flow.window == 0)
    client.feed(frames.window_update(0, 100_000))
    body, trailers = await client.answer(number)
    assert sent + len(body) == 3 * (5 + 8 * 4000)
    assert trailers == {"grpc-status": "0"}


async def test_a_client_that_reads_nothing_is_not_written_to(client: Any) -> None:
    client.feed(frames.settings({frames.INITIAL_WINDOW_SIZE: 200_000}) + frames.window_update(0, 200_000))
    client.connection.pause_writing()
    number = client.open("/test/Stream", end=True)
    for _ in range(20):
        await asyncio.sleep(0)
    assert sum(len(payload) for kind, *_, payload in client.frames() if kind == frames.DATA) == 5 + 8 * 4000
    client.connection.resume_writing()
    assert (await client.answer(number))[1] == {"grpc-status": "0"}
    client.transport.unread = 5_000_000
    client.feed(frames.settings({}))
    assert client.transport.aborted


async def test_more_than_the_window_allows(client: Any) -> None:
    number = client.open("/test/Hang")
    for _ in range(17):
        client.feed(frames.frame(frames.DATA, 0, number, bytes(16_000)))
    assert number not in client.connection.calls
    resets = [payload for kind, _, where, payload in client.frames() if (kind, where) == (frames.RST_STREAM, number)]
    assert resets == [frames.FLOW_CONTROL_ERROR.to_bytes(4, "big")]
