"""Windows: how much either side of a connection may send before the other one grants more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from gateway.rpc.wire import frames
from gateway.rpc.wire.frames import WireError

if TYPE_CHECKING:
    from gateway.rpc.wire.call import Call

#: What a client may send before it is granted more, on a stream and on all of them (bytes).
STREAM_WINDOW: Final = 256 * 1024
WINDOW: Final = 1024 * 1024
#: What has come on all streams of a client and waits for its rest or for its reader (bytes): more is refused.
MOST_HELD = 64 * 1024 * 1024


class Flow:
    """The windows of one connection; those of its streams are kept by the calls. Sizes in bytes."""

    def __init__(self, write: Callable[[bytes], None], calls: Mapping[int, Call]) -> None:
        self._write = write
        self._calls = calls
        self.blocked: set[Call] = set()
        """Calls that wait for a window."""
        self.first_window = frames.FIRST_WINDOW
        """What may be sent on a new stream."""
        self.window = frames.FIRST_WINDOW
        """What may be sent on all streams together."""
        self.largest_frame = frames.LARGEST_FRAME
        self.held = 0
        """What has come and waits."""
        self._to_come = WINDOW
        self._taken = 0

    def take(self, size: int) -> None:
        """So much has come. Raises `WireError`."""
        self._to_come -= size
        if self._to_come < 0:
            raise WireError(frames.FLOW_CONTROL_ERROR)
        self._taken += size
        if self._taken >= WINDOW // 2:
            self._write(frames.window_update(0, self._taken))
            self._to_come += self._taken
            self._taken = 0

    def grant(self, call: Call, more: int) -> None:
        """Let the client send so much more on this stream, once it is worth a frame."""
        if more < STREAM_WINDOW // 2:
            return
        more = min(more, STREAM_WINDOW - call.receive_window)
        if more > 0 and call.is_open and not call.ended:
            call.receive_window += more
            self._write(frames.window_update(call.stream, more))

    def widen(self, stream: int, more: int) -> None:
        """The client grants more. Raises `WireError`."""
        if stream == 0:
            self.window += more
            if not more or self.window > frames.LARGEST_WINDOW:
                raise WireError(frames.FLOW_CONTROL_ERROR if more else frames.PROTOCOL_ERROR)
            for waiting in list(self.blocked):
                waiting.flush()
        elif (call := self._calls.get(stream)) is not None:
            call.send_window += more
            if not more or call.send_window > frames.LARGEST_WINDOW:
                self._write(frames.reset(stream, frames.FLOW_CONTROL_ERROR if more else frames.PROTOCOL_ERROR))
                call.cut()
            elif call in self.blocked:
                call.flush()

    def settle(self, values: list[tuple[int, int]]) -> None:
        """The client's settings. Raises `WireError`."""
        for name, value in values:
            if name == frames.INITIAL_WINDOW_SIZE:
                if value > frames.LARGEST_WINDOW:
                    raise WireError(frames.FLOW_CONTROL_ERROR)
                more, self.first_window = value - self.first_window, value
                for call in list(self._calls.values()):
                    call.send_window += more
                    if call in self.blocked:
                        call.flush()
            elif name == frames.MAX_FRAME_SIZE:
                if not frames.LARGEST_FRAME <= value < 2**24:
                    raise WireError(frames.PROTOCOL_ERROR)
                self.largest_frame = min(value, 4 * frames.LARGEST_FRAME)
