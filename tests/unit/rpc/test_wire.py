"""HTTP/2 beneath gRPC, byte by byte: what clients may do, and what they may not."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.rpc.failures import end_with
from gateway.rpc.wire import flow, frames, headers
from gateway.rpc.wire.call import Call
from gateway.rpc.wire.connection import Connection
from gateway.rpc.wire.method import Bounds, Method

Frame = tuple[int, int, int, bytes]

OPENING = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/test/Echo"),
    (":authority", "here"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
    ("authorization", "Bearer x"),
]


class FakeTransport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.unread = 0
        self.closing = self.aborted = False

    def write(self, data: bytes) -> None:
        assert not self.closing
        self.written += data

    def get_extra_info(self, name: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True


async def echo(call: Call) -> None:
    call.answer(await call.only())


async def stream(call: Call) -> None:
    for _ in range(3):
        await call.send(call.metadata["authorization"].encode() * 4000)


async def collect(call: Call) -> None:
    sizes = []
    while (message := await call.next()) is not None:
        sizes.append(len(message))
    call.answer(repr(sizes).encode())


async def hang(call: Call) -> None:
    await asyncio.Event().wait()


async def tick(call: Call) -> None:
    for _ in range(30):
        await call.send(b"tick")
        await asyncio.sleep(0.001)


async def work(call: Call) -> None:
    await asyncio.sleep(0.02)
    call.answer(b"done")


METHODS = {
    "/test/Echo": Method(echo),
    "/test/Stream": Method(stream),
    "/test/Collect": Method(collect, whole=False),
    "/test/Hang": Method(hang),
    "/test/Tick": Method(tick),
    "/test/Work": Method(work, unbroken=True),
}


class Client:
    """The other side of a connection."""

    def __init__(self, *, keepalive: float = 60.0, patience: float = 60.0) -> None:
        self.connections: set[Connection] = set()
        self.held: set[asyncio.Task[None]] = set()
        self.transport = FakeTransport()
        self.connection = Connection(
            METHODS, end_with, self.connections, self.held.add, Bounds(1_000_000, keepalive, patience)
        )
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]
        self.encoder, self.decoder = Encoder(), Decoder()
        self.feed(frames.PREFACE + frames.settings({}))
        self._stream = -1

    def feed(self, data: bytes) -> None:
        self.connection.data_received(data)

    def open(self, path: str = "/test/Echo", *, end: bool = False, **more: str) -> int:
        """Begin a call; its stream."""
        self._stream += 2
        given = [*(pair for pair in OPENING if pair[0] != ":path"), (":path", path)]
        block = self.encoder.encode(sorted(given) + [(name.replace("_", "-"), value) for name, value in more.items()])
        self.feed(frames.frame(frames.HEADERS, frames.END_HEADERS | end, self._stream, block))
        return self._stream

    def send(self, number: int, message: bytes, *, end: bool = True) -> None:
        data = struct.pack(">BI", 0, len(message)) + message
        parts = [data[at : at + 16_000] for at in range(0, len(data), 16_000)]
        for index, part in enumerate(parts):
            self.feed(frames.frame(frames.DATA, end and index == len(parts) - 1, number, part))

    def frames(self) -> list[Frame]:
        """What came since it was asked last."""
        data, found = self.transport.written, []
        self.transport.written = b""
        while data:
            size = 9 + int.from_bytes(data[:3], "big")
            found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:size]))
            data = data[size:]
        return found

    async def until(self, is_so: Callable[[], Any]) -> None:
        async with asyncio.timeout(5):
            while not is_so():
                await asyncio.sleep(0)

    async def answer(self, number: int) -> tuple[bytes, dict[str, str]]:
        """The bytes of the messages, and the trailers."""
        body, trailers = b"", {}
        await self.until(lambda: number not in self.connection.calls)
        for kind, flags, where, payload in self.frames():
            if where == number and kind == frames.DATA:
                body += payload
            elif where == number and kind == frames.HEADERS:
                trailers = {name: value for name, value in self.decoder.decode(payload)}
                assert bool(flags & frames.END_STREAM) == ("grpc-status" in trailers)
        return body, trailers

    def end(self) -> int | None:
        """The code that the connection ended with; None: it did not end."""
        ends = [payload for kind, _, _, payload in self.frames() if kind == frames.GOAWAY]
        return int.from_bytes(ends[0][4:8], "big") if ends and self.transport.closing else None

    def lose(self) -> None:
        self.connection.connection_lost(None)


@pytest.fixture
async def client() -> Any:
    client = Client()
    yield client
    client.lose()


async def test_calls_with_any_encoding_of_their_headers(client: Client) -> None:
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


async def test_a_message_larger_than_the_window(client: Client) -> None:
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


async def test_an_announced_size_beyond_the_limit(client: Client) -> None:
    number = client.open()
    client.feed(frames.frame(frames.DATA, 0, number, struct.pack(">BI", 0, 1_000_001)))
    _, trailers = await client.answer(number)
    assert trailers["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])


async def test_too_much_at_once_on_one_connection(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_answers_wait_for_windows(client: Client) -> None:
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


async def test_a_client_that_reads_nothing_is_not_written_to(client: Client) -> None:
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


async def test_the_end_of_a_call_by_either_side(client: Client) -> None:
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


async def test_what_is_not_broken_off(client: Client) -> None:
    number = client.open("/test/Work", end=True)
    client.feed(frames.reset(number, frames.CANCEL))
    late = client.open("/test/Work", end=True, grpc_timeout="1m")
    _, trailers = await client.answer(late)
    assert trailers["grpc-status"] == str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
    client.lose()
    assert len(client.held) == 2
    await asyncio.gather(*client.held)


@pytest.mark.parametrize("timeout", ["", "x", "1", "S", "-1S", "123456789S", "1s", "1.5S", "١S"])
async def test_a_deadline_that_is_none(client: Client, timeout: str) -> None:
    number = client.open(end=True, grpc_timeout=timeout)
    _, trailers = await client.answer(number)
    assert trailers["grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0])


async def test_what_is_not_grpc(client: Client) -> None:
    number = client.open(end=True)
    await client.answer(number)
    client.feed(frames.frame(frames.HEADERS, 5, 3, client.encoder.encode([(":method", "GET"), (":path", "/")])))
    ((kind, flags, where, block),) = client.frames()
    assert (kind, flags, where) == (frames.HEADERS, 5, 3)
    assert list(client.decoder.decode(block)) == [(":status", "400")]


def block_in_parts(client: Client) -> bytes:
    return frames.frame(frames.HEADERS, 0, 1, client.encoder.encode(OPENING))


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
async def test_what_ends_a_connection(client: Client, sent: Callable[[Client], bytes], code: int) -> None:
    client.feed(sent(client))
    assert client.end() == code
    assert not client.connection.calls


async def test_another_protocol() -> None:
    client = Client()
    other = Connection(METHODS, end_with, set(), set().add, Bounds(1, 60, 60))
    transport = FakeTransport()
    other.connection_made(transport)  # type: ignore[arg-type]
    other.data_received(b"GET / HTTP/1.1\r\n")
    assert transport.closing
    other.connection_lost(None)
    client.lose()


async def test_a_client_may_measure_the_way_of_its_data(client: Client) -> None:
    """C-core pings when data comes, to find out how much can be under way."""
    number = client.open("/test/Tick", end=True)
    pings = 0
    while number in client.connection.calls:
        if any(kind == frames.DATA for kind, *_ in client.frames()):
            client.feed(frames.frame(frames.PING, 0, 0, bytes(8)))
            pings += 1
        await asyncio.sleep(0)
    assert pings == 30
    assert not client.transport.closing


async def test_streams_that_are_reset_again_and_again(client: Client) -> None:
    """Each costs the server more than the client."""
    for _ in range(3000):
        number = client.open("/test/Hang", end=True)
        if client.transport.closing:
            break
        client.feed(frames.reset(number, frames.CANCEL))
    assert client.end() == frames.ENHANCE_YOUR_CALM
    assert not client.connection.calls


async def test_more_than_the_window_allows(client: Client) -> None:
    number = client.open("/test/Hang")
    for _ in range(17):
        client.feed(frames.frame(frames.DATA, 0, number, bytes(16_000)))
    assert number not in client.connection.calls
    resets = [payload for kind, _, where, payload in client.frames() if (kind, where) == (frames.RST_STREAM, number)]
    assert resets == [frames.FLOW_CONTROL_ERROR.to_bytes(4, "big")]


async def test_a_quiet_client_is_pinged_and_given_up() -> None:
    patient, hasty = Client(keepalive=0.01), Client(keepalive=0.01, patience=0.01)
    await patient.until(lambda: any(kind == frames.PING for kind, *_ in patient.frames()))
    patient.feed(frames.frame(frames.PING, frames.ACK, 0, bytes(8)))
    assert not patient.transport.aborted
    await hasty.until(lambda: hasty.transport.aborted)
    patient.lose()
    hasty.lose()


kinds = st.one_of(st.integers(0, 12), st.sampled_from([frames.HEADERS, frames.DATA, frames.CONTINUATION]))
any_frame = st.builds(
    frames.frame, kinds, st.integers(0, 255), st.sampled_from([0, 1, 2, 3, 5, 2**31 - 1]), st.binary(max_size=40)
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(sent=st.lists(st.one_of(any_frame, st.binary(max_size=20), st.just(b"")), max_size=8), split=st.integers(1, 30))
async def test_any_frames(sent: list[bytes], split: int) -> None:
    """The connection may end, and in order; nothing else happens."""
    client = Client()
    client.open("/test/Collect")
    data = b"".join(sent)
    for at in range(0, len(data), split):
        if not client.transport.closing:
            client.feed(data[at : at + split])
    await asyncio.sleep(0)
    client.lose()
    await asyncio.sleep(0)
    assert not client.connection.calls
