"""From the bytes of a connection to its frames."""

from __future__ import annotations

from collections.abc import Callable

from gateway.rpc.wire import frames
from gateway.rpc.wire.frames import WireError


class FrameReader:
    """Of one connection. `act` is given kind, flags, stream and payload of each frame, until `is_closing`."""

    __slots__ = ("_act", "_greeted", "_is_closing", "_rest")

    def __init__(self, act: Callable[[int, int, int, bytes], None], is_closing: Callable[[], bool]) -> None:
        self._act = act
        self._is_closing = is_closing
        self._greeted = False
        self._rest = b""

    def take(self, data: bytes) -> None:
        """Act on the frames that are whole with this. Raises `WireError`, and what `act` raises."""
        if self._rest:
            data = self._rest + data
        position, size = 0, len(data)
        if not self._greeted:
            greeting = data[: len(frames.PREFACE)]
            if greeting != frames.PREFACE[: len(greeting)]:
                raise WireError(frames.PROTOCOL_ERROR, "this port speaks gRPC over HTTP/2")
            if len(greeting) < len(frames.PREFACE):
                self._rest = data
                return
            self._greeted, position = True, len(frames.PREFACE)
        while size - position >= frames.HEAD and not self._is_closing():
            length = int.from_bytes(data[position : position + 3], "big")
            if length > frames.LARGEST_FRAME:
                raise WireError(frames.FRAME_SIZE_ERROR)
            end = position + frames.HEAD + length
            if end > size:
                break
            stream = int.from_bytes(data[position + 5 : position + 9], "big") & frames.LARGEST_WINDOW
            self._act(data[position + 3], data[position + 4], stream, data[position + frames.HEAD : end])
            position = end
        self._rest = data[position:]
