"""Frames of any kind that a client may not send, and bytes that are none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.rpc.wire import frames


def block_in_parts(client: Any) -> bytes:
    return frames.frame(frames.HEADERS, 0, 1, client.block())


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (lambda c: block_in_parts(c) + frames.frame(frames.PING, 0, 0, bytes(8)), frames.PROTOCOL_ERROR),
        (
            lambda c: block_in_parts(c) + frames.frame(frames.CONTINUATION, 0, 1, bytes(16_384)),
            frames.ENHANCE_YOUR_CALM,
        ),
        (lambda c: frames.frame(frames.CONTINUATION, 4, 1, b""), frames.PROTOCOL_ERROR),
        (lambda c: block_in_parts(c) + frames.frame(frames.CONTINUATION, 0, 1, b""), frames.PROTOCOL_ERROR),
        (lambda c: frames.frame(frames.HEADERS, 4, 2, b"\x88"), frames.PROTOCOL_ERROR),
        (lambda c: frames.frame(frames.HEADERS, 4, 1, b"\xff\xff\xff\xff"), frames.COMPRESSION_ERROR),
        (lambda c: frames.frame(frames.HEADERS, 4 | 8, 1, b"\x09"), frames.PROTOCOL_ERROR),
        (lambda c: frames.head(16_385, frames.DATA, 0, 1), frames.FRAME_SIZE_ERROR),
        (lambda c: frames.frame(frames.DATA, 0, 1, b""), frames.PROTOCOL_ERROR),
        (lambda c: frames.frame(frames.RST_STREAM, 0, 9, bytes(4)), frames.PROTOCOL_ERROR),
        (lambda c: frames.frame(frames.PUSH_PROMISE, 0, 1, bytes(4)), frames.PROTOCOL_ERROR),
        (lambda c: frames.window_update(0, 0), frames.PROTOCOL_ERROR),
        (lambda c: frames.window_update(0, 2**31 - 1), frames.FLOW_CONTROL_ERROR),
        (lambda c: frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31}), frames.FLOW_CONTROL_ERROR),
        (lambda c: frames.settings({frames.MAX_FRAME_SIZE: 1}), frames.PROTOCOL_ERROR),
        (lambda c: frames.frame(frames.SETTINGS, 0, 0, b"x"), frames.FRAME_SIZE_ERROR),
        (lambda c: frames.frame(frames.PING, 0, 0, b"x"), frames.FRAME_SIZE_ERROR),
        (lambda c: frames.frame(frames.PING, 0, 0, bytes(8)) * 5, frames.ENHANCE_YOUR_CALM),
    ],
)
async def test_what_ends_a_connection(client: Any, sent: Callable[[Any], bytes], code: int) -> None:
    client.feed(sent(client))
    assert client.end() == code
    assert not client.connection.calls


async def test_another_protocol(make_client: Any) -> None:
    client = make_client(greeting=b"GET / HTTP/1.1\r\n")
    assert client.transport.closing
    client.lose()


kinds = st.one_of(st.integers(0, 12), st.sampled_from([frames.HEADERS, frames.DATA, frames.CONTINUATION]))
any_frame = st.builds(
    frames.frame, kinds, st.integers(0, 255), st.sampled_from([0, 1, 2, 3, 5, 2**31 - 1]), st.binary(max_size=40)
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(sent=st.lists(st.one_of(any_frame, st.binary(max_size=20), st.just(b"")), max_size=8), split=st.integers(1, 30))
async def test_any_frames(make_client: Any, sent: list[bytes], split: int) -> None:
    """The connection may end, and in order; nothing else happens."""
    client = make_client()
    client.open("/test/Collect")
    data = b"".join(sent)
    for at in range(0, len(data), split):
        if not client.transport.closing:
            client.feed(data[at : at + split])
    await asyncio.sleep(0)
    client.lose()
    await asyncio.sleep(0)
    assert not client.connection.calls
