"""One call: a stream of a connection, as gRPC sees it. Messages come in and go out as bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import grpc

from gateway.errors import BodyTooLarge, InvalidRequest
from gateway.rpc.wire import flow as windows
from gateway.rpc.wire import frames, headers
from gateway.rpc.wire.unframing import Unframing

if TYPE_CHECKING:
    from gateway.rpc.wire.connection import Connection

Code = grpc.StatusCode

_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
#: No timer runs for longer (seconds).
_LONGEST: Final = 30 * 24 * 3600.0


class Gone(Exception):
    """There is nobody any more who could be told: the call is over."""


class Call:
    """Belongs to one event loop. `metadata` is what the client sent before its messages, by names in lower case."""

    __slots__ = (
        "_deadline",
        "_drained",
        "_flow",
        "_held",
        "_messages",
        "_out",
        "_read",
        "_started",
        "_trailers",
        "_unframing",
        "_waiting",
        "connection",
        "ended",
        "failure",
        "is_open",
        "is_served",
        "is_unbroken",
        "metadata",
        "receive_window",
        "send_window",
        "stream",
        "task",
    )

    def __init__(self, connection: Connection, stream: int, metadata: headers.Metadata, limit: int) -> None:
        self.connection = connection
        self.stream = stream
        self.metadata = metadata
        self.task: asyncio.Task[None] | None = None
        self.is_served = self.is_unbroken = False
        self.is_open = True
        """An answer can still be sent."""
        self.ended = False
        """The client has closed its side."""
        self.failure: Exception | None = None
        """Why no more messages can be read."""
        self._flow = connection.flow
        self.send_window = self._flow.first_window
        self.receive_window = windows.STREAM_WINDOW
        self._unframing = Unframing(metadata.get("grpc-encoding", "identity"), limit)
        self._messages: deque[bytes] = deque()
        self._read = self._held = 0
        self._waiting: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._started = False
        self._out: deque[bytes] = deque()
        self._trailers: bytes | None = None
        self._deadline: asyncio.TimerHandle | None = None

    # The connection's side ----------------------------------------------------------------------------------

    def start_clock(self) -> None:
        """Have the deadline observed, if there is one. Raises `InvalidRequest`."""
        text = self.metadata.get("grpc-timeout")
        if text is None:
            return
        unit = _UNITS.get(text[-1:])
        if unit is None or not (text[:-1].isascii() and text[:-1].isdigit() and len(text) <= 9):
            raise InvalidRequest("grpc-timeout is not one", field="grpc-timeout")
        after = min(int(text[:-1]) * unit, _LONGEST)
        self._deadline = self.connection.loop.call_later(after, self._expire)

    def feed(self, data: bytes, *, is_end: bool) -> None:
        """What the client has sent."""
        if self.failure is None and self.is_open:
            try:
                if data:
                    self._messages.extend(self._unframing.messages(data))
                if is_end and self._unframing.rest:
                    raise InvalidRequest("The request has only a part of a message.")
                self._account(len(self._unframing.rest) + sum(map(len, self._messages)))
            except Exception as error:  # noqa: BLE001 (told to whoever reads)
                self.failure, self._unframing.rest = error, bytearray()
                self._account(0)
        self.ended = self.ended or is_end
        self._complete()
        self._wake()

    def _account(self, held: int) -> None:
        """Note how many bytes wait here. Raises `BodyTooLarge`."""
        self._flow.held += held - self._held
        self._held = held
        if held and self._flow.held > windows.MOST_HELD:
            raise BodyTooLarge("Too much is sent at once on this connection.")

    def _complete(self) -> None:
        """Let the client complete a message that is larger than its window, when no other waits to be read."""
        if not self._messages:
            self._flow.grant(self, len(self._unframing.rest))

    def cut(self) -> None:
        """The stream or its connection is gone."""
        if self.is_open:
            self._close()
            self._out.clear()
        self.cancel()

    def cancel(self) -> None:
        """Stop serving, if that may be stopped."""
        if self.task is not None and not self.is_unbroken:
            self.task.cancel()

    def flush(self) -> None:
        """Send what flow control and the transport allow."""
        connection, flow = self.connection, self._flow
        while self._out:
            data = self._out[0]
            room = min(self.send_window, flow.window, flow.largest_frame)
            if room <= 0:
                flow.blocked.add(self)
                return
            part = data[:room]
            if len(part) < len(data):
                self._out[0] = data[room:]
            else:
                self._out.popleft()
            self.send_window -= len(part)
            flow.window -= len(part)
            connection.send(frames.head(len(part), frames.DATA, 0, self.stream) + part)
        flow.blocked.discard(self)
        if self._trailers is not None:
            trailers, self._trailers = self._trailers, None
            connection.send(trailers)
            self._close()
        elif self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _expire(self) -> None:
        self._deadline = None
        if self.is_open:
            self.finish(Code.DEADLINE_EXCEEDED, "Deadline exceeded")
        self.cancel()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _close(self) -> None:
        self.is_open = False
        self._account(0)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.connection.forget(self)
        self._wake()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # The service's side -------------------------------------------------------------------------------------

    async def next(self) -> bytes | None:
        """The next message; None: the client has closed its side.

        Raises `BodyTooLarge`, `InvalidRequest` for what is no message, `Gone`.
        """
        while not self._messages:
            if self.failure is not None:
                raise self.failure
            if self.ended:
                return None
            if not self.is_open:
                raise Gone
            self._waiting = self.connection.loop.create_future()
            await self._waiting
        message = self._messages.popleft()
        self._account(max(0, self._held - len(message)))
        self._read += len(message) + 5
        if self._read >= windows.STREAM_WINDOW // 2:
            self._flow.grant(self, self._read)
            self._read = 0
        self._complete()
        return message

    async def only(self) -> bytes:
        """The message of a call that has one. Raises as `next`, and `InvalidRequest` when there is none."""
        message = await self.next()
        if message is None:
            raise InvalidRequest("The request has no message.")
        return message

    async def send(self, message: bytes) -> None:
        """Send one answer of several; returns when the client takes more. Raises `Gone`."""
        if not self.is_open:
            raise Gone
        self._put(message)
        while self.is_open and (self._out or self.connection.is_paused):
            self._drained = self.connection.loop.create_future()
            if not self._out:
                self.connection.draining.add(self._drained)
            await self._drained
            self._drained = None

    def _put(self, message: bytes) -> None:
        size = len(message) + 5
        connection, flow = self.connection, self._flow
        begin = b"" if self._started else frames.frame(frames.HEADERS, frames.END_HEADERS, self.stream, headers.BEGIN)
        self._started = True
        if not self._out and size <= min(self.send_window, flow.window, flow.largest_frame):
            self.send_window -= size
            flow.window -= size
            head = frames.head(size, frames.DATA, 0, self.stream)
            connection.send(b"%b%b\0%b%b" % (begin, head, len(message).to_bytes(4, "big"), message))
            return
        if begin:
            connection.send(begin)
        self._out.append(b"\0%b%b" % (len(message).to_bytes(4, "big"), message))
        self.flush()

    def answer(self, message: bytes) -> None:
        """The only answer, and the end of the call."""
        if not self.is_open:
            return
        size = len(message) + 5
        connection, flow = self.connection, self._flow
        if self._started or size > min(self.send_window, flow.window, flow.largest_frame):
            self._put(message)
            self.finish()
            return
        flow.window -= size
        stream = self.stream
        connection.send(
            b"%b%b%b\0%b%b%b%b"
            % (
                frames.head(len(headers.BEGIN), frames.HEADERS, frames.END_HEADERS, stream),
                headers.BEGIN,
                frames.head(size, frames.DATA, 0, stream),
                len(message).to_bytes(4, "big"),
                message,
                frames.head(len(headers.OK), frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream),
                headers.OK,
            )
        )
        if not self.ended:
            connection.send(frames.reset(stream, frames.NO_ERROR))
        self._close()

    def finish(self, code: grpc.StatusCode = Code.OK, message: str = "", details: bytes = b"") -> None:
        """End the call, after what is still to be sent. `details`: a serialised `google.rpc.Status`."""
        if not self.is_open or self._trailers is not None:
            return
        block = headers.OK if code is Code.OK else headers.trailers(code.value[0], message, details)
        if not self._started:
            block = headers.BEGIN + block
        self._started = True
        end = frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, self.stream, block)
        if not self.ended:
            # Enough was read (RFC 9113, 8.1).
            end += frames.reset(self.stream, frames.NO_ERROR)
        self._trailers = end
        self.flush()
