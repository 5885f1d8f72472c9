"""HEADERS and CONTINUATION: what a call begins with."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from hpack import Encoder

from gateway.rpc.wire import frames, headers


async def test_calls_with_any_encoding_of_their_headers(client: Any) -> None:
    """The same headers again are a few bytes of the table; with other ones between."""
    for n in range(3):
        for more in ({}, {}, {"grpc_timeout": f"{n + 1}S"}, {"x": "y" * 3000}, {}):
            number = client.open(**more)
            client.send(number, b"hello")
            body, trailers = await client.answer(number)
            assert body == b"\0\0\0\0\5hello"
            assert trailers == {"grpc-status": "0"}


async def test_a_block_means_what_the_table_says() -> None:
    reader, encoder = headers.HeaderReader(), Encoder()
    first = encoder.encode([("a", "1")])
    again = encoder.encode([("a", "1")])
    assert (reader.read(first), reader.read(again), reader.read(again)) == ({"a": "1"}, {"a": "1"}, {"a": "1"})
    assert reader.read(encoder.encode([("b", "2")])) == {"b": "2"}
    assert reader.read(again) == {"b": "2"}, "the first entry of the table is another one now"
    encoder.header_table_size = 0
    assert reader.read(encoder.encode([("c", "3")])) == {"c": "3"}
    with pytest.raises(frames.WireError):
        reader.read(again)


@pytest.mark.parametrize("timeout", ["", "x", "1", "S", "-1S", "123456789S", "1s", "1.5S", "١S"])
async def test_a_deadline_that_is_none(client: Any, timeout: str) -> None:
    number = client.open(end=True, grpc_timeout=timeout)
    _, trailers = await client.answer(number)
    assert trailers["grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0])


async def test_what_is_not_grpc(client: Any) -> None:
    number = client.open(end=True)
    await client.answer(number)
    client.feed(frames.frame(frames.HEADERS, 5, 3, client.encoder.encode([(":method", "GET"), (":path", "/")])))
    ((kind, flags, where, block),) = client.frames()
    assert (kind, flags, where) == (frames.HEADERS, 5, 3)
    assert list(client.decoder.decode(block)) == [(":status", "400")]
