"""A gRPC client that costs as little as the raw HTTP/1.1 client of `submit`: prepared bytes, frames barely read."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
_ACK, _END_STREAM, _END_HEADERS = 1, 1, 4
_WINDOW = 65_535
#: As this server writes it.
_SUCCESS = b"\x0bgrpc-status\x010"


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(prefix: bytes, value: str) -> bytes:
    """A header that is not put into the table; `value` must be shorter than 127 bytes."""
    return prefix + bytes([len(value)]) + value.encode()


def _header_block(authority: str, path: str, authorization: str) -> bytes:
    """HPACK with names from the static table."""
    return b"".join(
        (
            b"\x83\x86",  # :method POST, :scheme http
            _literal(b"\x01", authority),
            _literal(b"\x04", path),
            _literal(b"\x0f\x10", "application/grpc"),  # content-type
            _literal(b"\x00\x02te", "trailers"),
            _literal(b"\x0f\x08", authorization),
        )
    )


class Http2Connection:
    """One connection: either one call after the other (`call`), or any number of streams (`watch`, `listen`)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._headers = headers
        self._stream = -1
        self._rest = b""
        self._room = _WINDOW
        """Bytes that may be sent before the server grants more."""
        self._answers: Callable[[int, bytes], None] = lambda stream, message: None

    @classmethod
    async def open(cls, address: str, path: str, authorization: str) -> Http2Connection:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
        return cls(reader, writer, _header_block(address, path, authorization))

    async def call(self, message: bytes) -> None:
        """Send one request and read its answer to the end."""
        size = len(message) + 5
        while self._room < size:
            await self._read()
        self._room -= size
        self.watch(message)
        while not await self._read():
            pass

    def watch(self, message: bytes) -> int:
        """Send one request; the number of its stream."""
        self._stream += 2
        body = struct.pack(">BI", 0, len(message)) + message
        self._writer.write(
            _frame(_HEADERS, _END_HEADERS, self._stream, self._headers) + _frame(_DATA, _END_STREAM, self._stream, body)
        )
        return self._stream

    async def listen(self, answers: Callable[[int, bytes], None]) -> None:
        """Call `answers` with the stream and the bytes of each answer, until cancelled. Each must fit one frame."""
        self._answers = answers
        while True:
            await self._read()

    async def _read(self) -> bool:
        """Act on what has come; whether it ended a stream."""
        data = await self._reader.read(256 * 1024)
        if not data:
            raise RuntimeError("the server closed the connection")
        rest = self._rest + data
        begin, is_end = 0, False
        while len(rest) - begin >= 9:
            end = begin + 9 + int.from_bytes(rest[begin : begin + 3], "big")
            if end > len(rest):
                break
            stream = int.from_bytes(rest[begin + 5 : begin + 9], "big")
            is_end |= self._act(rest[begin + 3], rest[begin + 4], stream, rest[begin + 9 : end])
            begin = end
        self._rest = rest[begin:]
        return is_end

    def _act(self, kind: int, flags: int, stream: int, payload: bytes) -> bool:
        """Whether this frame ended a stream."""
        if kind == _DATA:
            self._answers(stream, payload[5:])
        elif kind == _HEADERS and flags & _END_STREAM:
            if _SUCCESS not in payload:
                raise RuntimeError(f"unexpected answer: {payload!r}")
            return True
        elif kind == _SETTINGS and not flags & _ACK:
            self._writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._writer.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW_UPDATE and stream == 0:
            self._room += int.from_bytes(payload, "big")
        elif kind not in (_HEADERS, _SETTINGS, _PING, _WINDOW_UPDATE):
            raise RuntimeError(f"the server ended the connection or the call (frame {kind})")
        return False

    def close(self) -> None:
        self._writer.close()
