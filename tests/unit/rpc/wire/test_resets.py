"""RST_STREAM and GOAWAY: calls that either side ends before their time."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from gateway.rpc.wire import frames


async def test_the_end_of_a_call_by_either_side(client: Any) -> None:
    number = client.open("/test/Hang", end=True)
    await asyncio.sleep(0)
    task = client.connection.calls[number].task
    client.feed(frames.reset(number, frames.CANCEL))
    await client.until(lambda: task is None or task.done())
    number = client.open("/test/Hang", end=True, grpc_timeout="10m")
    _, trailers = await client.answer(number)
    assert trailers["grpc-status"] == str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
    number = client.open("/test/Hang")
    client.connection.end()
    assert client.open() not in client.connection.calls, "announced by GOAWAY"
    assert not client.transport.closing
    client.connection.close()
    _, trailers = await client.answer(number)
    assert trailers["grpc-status"] == str(grpc.StatusCode.UNAVAILABLE.value[0])
    assert client.transport.closing


async def test_what_is_not_broken_off(client: Any) -> None:
    number = client.open("/test/Work", end=True)
    client.feed(frames.reset(number, frames.CANCEL))
    late = client.open("/test/Work", end=True, grpc_timeout="1m")
    _, trailers = await client.answer(late)
    assert trailers["grpc-status"] == str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
    client.lose()
    assert len(client.held) == 2
    await asyncio.gather(*client.held)


async def test_streams_that_are_reset_again_and_again(client: Any) -> None:
    """Each costs the server more than the client."""
    for _ in range(3000):
        number = client.open("/test/Hang", end=True)
        if client.transport.closing:
            break
        client.feed(frames.reset(number, frames.CANCEL))
    assert client.end() == frames.ENHANCE_YOUR_CALM
    assert not client.connection.calls
