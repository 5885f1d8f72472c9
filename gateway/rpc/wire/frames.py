"""HTTP/2 frames (RFC 9113), as far as gRPC needs them."""

from __future__ import annotations

import struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD: Final = 9
"""Bytes before the payload of each frame."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

# Error codes.
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 5, 6, 7, 8, 9
ENHANCE_YOUR_CALM = 11

# Settings.
INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 4, 3, 5, 6

FIRST_WINDOW: Final = 65_535
LARGEST_WINDOW: Final = 2**31 - 1
#: Frames that this side takes: as large as every peer may send.
LARGEST_FRAME: Final = 16_384

_HEAD = struct.Struct(">HBBBI")
_U32 = struct.Struct(">I")


class WireError(Exception):
    """The peer broke the protocol, and the connection ends; `code` tells it why."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def head(size: int, kind: int, flags: int, stream: int) -> bytes:
    """What stands before a payload of so many bytes."""
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return _HEAD.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def reset(stream: int, code: int) -> bytes:
    """The end of a stream in both directions."""
    return frame(RST_STREAM, 0, stream, _U32.pack(code))


def window_update(stream: int, more: int) -> bytes:
    """The peer may send so many further bytes."""
    return frame(WINDOW_UPDATE, 0, stream, _U32.pack(more))


def goaway(last_stream: int, code: int, reason: str = "") -> bytes:
    """Streams after `last_stream` are not served."""
    return frame(GOAWAY, 0, 0, struct.pack(">II", last_stream, code) + reason.encode())


def settings(values: dict[int, int]) -> bytes:
    """This side's settings."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", name, value) for name, value in values.items()))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """The peer's settings. Raises `WireError`."""
    if len(payload) % 6:
        raise WireError(FRAME_SIZE_ERROR)
    return list(struct.iter_unpack(">HI", payload))


def number(payload: bytes) -> int:
    """The 32-bit number that is a whole payload. Raises `WireError`."""
    if len(payload) != 4:
        raise WireError(FRAME_SIZE_ERROR)
    value: int = _U32.unpack(payload)[0]
    return value


def unpadded(payload: bytes, flags: int) -> bytes:
    """The payload without padding and priority. Raises `WireError`."""
    begin, end = 0, len(payload)
    if flags & PADDED:
        if not payload:
            raise WireError(FRAME_SIZE_ERROR)
        begin, end = 1, end - payload[0]
    if flags & WITH_PRIORITY:
        begin += 5
    if begin > end:
        raise WireError(PROTOCOL_ERROR, "padding")
    return payload[begin:end]
