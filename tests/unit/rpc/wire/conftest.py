"""The other side of a connection, byte by byte, and services that it calls."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hpack import Decoder, Encoder

from gateway.rpc.failures import end_with
from gateway.rpc.wire import frames
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

    def __init__(
        self, *, keepalive: float = 60.0, patience: float = 60.0, greeting: bytes = frames.PREFACE + frames.settings({})
    ) -> None:
        self.connections: set[Connection] = set()
        self.held: set[asyncio.Task[None]] = set()
        self.transport = FakeTransport()
        self.connection = Connection(
            METHODS, end_with, self.connections, self.held.add, Bounds(1_000_000, keepalive, patience)
        )
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]
        self.encoder, self.decoder = Encoder(), Decoder()
        self.feed(greeting)
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

    def block(self) -> bytes:
        """The headers of a call of Echo."""
        return self.encoder.encode(OPENING)

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


@pytest.fixture(scope="session")
def make_client() -> type[Client]:
    """The client itself, for those who need several, or another one for each example."""
    return Client


@pytest.fixture
async def client() -> Any:
    client = Client()
    yield client
    client.lose()
