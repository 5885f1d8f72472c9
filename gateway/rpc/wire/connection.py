"""One HTTP/2 connection of a client: frames become calls, and are ended in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import grpc

from gateway.rpc.wire import frames, headers
from gateway.rpc.wire.call import Call
from gateway.rpc.wire.deframing import FrameReader
from gateway.rpc.wire.flow import STREAM_WINDOW, WINDOW, Flow
from gateway.rpc.wire.frames import WireError
from gateway.rpc.wire.method import UNKNOWN, Bounds, Method
from gateway.rpc.wire.pings import Pings

_MOST_STREAMS: Final = 10_000
#: A client that asks for answers and reads none is cut here (bytes).
_MOST_UNREAD: Final = 4 * 1024 * 1024
#: Streams that a client may reset before they are answered, within so many seconds, beyond those that were answered.
_MOST_RESETS, _FORGET_RESETS = 2000, 30.0

_SETTINGS: Final = frames.settings(
    {
        frames.MAX_CONCURRENT_STREAMS: _MOST_STREAMS,
        frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
        frames.MAX_HEADER_LIST_SIZE: headers.LARGEST,
    }
) + frames.window_update(0, WINDOW - frames.FIRST_WINDOW)


Fail = Callable[[Call, Exception], None]
Hold = Callable[[asyncio.Task[None]], None]


class Connection(asyncio.Protocol):
    """`methods` by path; `fail` answers a call that ended in an error; `hold` is told of what must not be stopped."""

    def __init__(
        self, methods: dict[str, Method], fail: Fail, connections: set[Connection], hold: Hold, bounds: Bounds
    ) -> None:
        self._methods = methods
        self._fail = fail
        self._connections = connections
        self._hold = hold
        self._bounds = bounds
        self.loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.calls: dict[int, Call] = {}
        self.flow = Flow(self.write, self.calls)
        self.draining: set[asyncio.Future[None]] = set()
        """Of calls that wait for the transport."""
        self.is_paused = False
        self._reader = headers.HeaderReader()
        self._block: tuple[int, int, bytes] | None = None
        self._last_stream = 0
        self._ending = False
        self._transport: Any = None
        self._incoming: FrameReader
        self._pings: Pings
        self._resets, self._resets_at = 0, 0.0

    # The transport's side -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._incoming = FrameReader(self._act, transport.is_closing)
        self._pings = Pings(self.write, self._transport.abort, self._bounds.keepalive, self._bounds.keepalive_timeout)
        secure = transport.get_extra_info("ssl_object")
        if secure is not None and secure.selected_alpn_protocol() != "h2":
            self._transport.abort()
            return
        self._connections.add(self)
        self._transport.write(_SETTINGS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if not self.closed.done():
            self.closed.set_result(None)
        self._pings.stop()
        for call in list(self.calls.values()):
            call.cut()
        self._resume()

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False
        self._resume()

    def _resume(self) -> None:
        waiting, self.draining = self.draining, set()
        for drained in waiting:
            if not drained.done():
                drained.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._pings.heard_at = self.loop.time()
        try:
            self._incoming.take(data)
        except WireError as error:
            self._break(error)

    def _act(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._block is not None and (kind != frames.CONTINUATION or stream != self._block[0]):
            raise WireError(frames.PROTOCOL_ERROR, "a header block was interrupted")
        if kind == frames.DATA:
            self._take_data(flags, stream, payload)
        elif kind == frames.HEADERS:
            self._take_headers(stream, flags, frames.unpadded(payload, flags))
        elif kind == frames.CONTINUATION:
            if self._block is None or not payload:
                raise WireError(frames.PROTOCOL_ERROR)
            first, begun, block = self._block
            self._block = None
            self._take_headers(first, begun | flags & frames.END_HEADERS, block + payload)
        elif kind == frames.WINDOW_UPDATE:
            self.flow.widen(stream, frames.number(payload) & frames.LARGEST_WINDOW)
        elif kind == frames.RST_STREAM:
            self._cut(stream, payload)
        elif kind == frames.SETTINGS:
            if not flags & frames.ACK:
                self.flow.settle(frames.read_settings(payload))
                self.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        elif kind == frames.PING:
            self._pings.take(flags, payload)
        elif kind == frames.PUSH_PROMISE:
            raise WireError(frames.PROTOCOL_ERROR)
        # GOAWAY: the client opens no more streams. PRIORITY, and what is unknown, means nothing here.

    # Calls --------------------------------------------------------------------------------------------------

    def _take_headers(self, stream: int, flags: int, block: bytes) -> None:
        if len(block) > headers.LARGEST:
            raise WireError(frames.ENHANCE_YOUR_CALM, "the metadata is too large")
        if not flags & frames.END_HEADERS:
            self._block = (stream, flags, block)
            return
        metadata = self._reader.read(block)
        is_end = bool(flags & frames.END_STREAM)
        if (call := self.calls.get(stream)) is not None:
            # Trailers of a client.
            if not is_end:
                raise WireError(frames.PROTOCOL_ERROR)
            self._feed(call, b"", is_end=True)
            return
        if stream % 2 == 0 or stream <= self._last_stream:
            if stream % 2 == 0 or stream == 0:
                raise WireError(frames.PROTOCOL_ERROR)
            return  # of a stream that is over
        if self._ending:
            return  # GOAWAY told the client that it is not served
        self._last_stream = stream
        if len(self.calls) >= _MOST_STREAMS:
            self.write(frames.reset(stream, frames.REFUSED_STREAM))
            return
        self._pings.forgive()
        self._open(stream, metadata, is_end=is_end)

    def _open(self, stream: int, metadata: headers.Metadata, *, is_end: bool) -> None:
        path, kind = metadata.get(":path"), metadata.get("content-type", "")
        if path is None or metadata.get(":method") != "POST" or not kind.startswith("application/grpc"):
            block = headers.field(":status", "415") if path and kind else headers.field(":status", "400")
            end = frames.END_HEADERS | frames.END_STREAM
            self.write(frames.frame(frames.HEADERS, end, stream, block))
            if not is_end:
                self.write(frames.reset(stream, frames.NO_ERROR))
            return
        call = Call(self, stream, metadata, self._bounds.message)
        self.calls[stream] = call
        try:
            call.start_clock()
        except Exception as error:  # noqa: BLE001 (answered)
            call.ended = is_end
            self._fail(call, error)
            return
        if is_end:
            self._feed(call, b"", is_end=True)

    async def _serve(self, call: Call, method: Method) -> None:
        try:
            await method.serve(call)
            call.finish()
        except asyncio.CancelledError:
            if call.is_open:
                call.finish(grpc.StatusCode.UNAVAILABLE, "The call was ended by the server.")
        except Exception as error:  # noqa: BLE001 (answered)
            if call.is_open:
                self._fail(call, error)
        finally:
            call.task = None

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        self.flow.take(size)
        self._pings.forgive()
        call = self.calls.get(stream)
        if call is None:
            if stream == 0 or (stream > self._last_stream and not self._ending):
                raise WireError(frames.PROTOCOL_ERROR)
            return
        if call.ended:
            self.write(frames.reset(stream, frames.STREAM_CLOSED))
            call.cut()
            return
        call.receive_window -= size
        if call.receive_window < 0:
            self.write(frames.reset(stream, frames.FLOW_CONTROL_ERROR))
            call.cut()
            return
        data = frames.unpadded(payload, flags & frames.PADDED) if flags & frames.PADDED else payload
        self._feed(call, data, is_end=bool(flags & frames.END_STREAM))

    def _feed(self, call: Call, data: bytes, *, is_end: bool) -> None:
        call.feed(data, is_end=is_end)
        if not call.is_served and call.is_open:
            method = self._methods.get(call.metadata[":path"], UNKNOWN)
            # Not sooner, also when the answer is known: clients may fail that are answered while they begin to send.
            if is_end or call.failure is not None or not method.whole:
                call.is_served, call.is_unbroken = True, method.unbroken
                call.task = self.loop.create_task(self._serve(call, method))
                if method.unbroken:
                    self._hold(call.task)

    def forget(self, call: Call) -> None:
        """The call is over."""
        self.calls.pop(call.stream, None)
        self.flow.blocked.discard(call)
        self._resets = max(0, self._resets - 1)
        if self._ending and not self.calls:
            self._transport.close()

    def _cut(self, stream: int, payload: bytes) -> None:
        frames.number(payload)
        if stream == 0 or stream > self._last_stream:
            raise WireError(frames.PROTOCOL_ERROR)
        if (call := self.calls.get(stream)) is not None:
            if (now := self.loop.time()) - self._resets_at > _FORGET_RESETS:
                self._resets, self._resets_at = 0, now
            self._resets += 2
            if self._resets > _MOST_RESETS:
                raise WireError(frames.ENHANCE_YOUR_CALM, "too many resets")
            call.cut()

    # Writing and the end ------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send frames of a call."""
        self._pings.forgive()
        self.write(data)

    def write(self, data: bytes) -> None:
        """Send whole frames."""
        if self._transport.get_write_buffer_size() > _MOST_UNREAD:
            self._transport.abort()
        elif not self._transport.is_closing():
            self._transport.write(data)

    def end(self) -> None:
        """Take no more calls; the connection closes when those under way are over."""
        self._ending = True
        self.write(frames.goaway(self._last_stream, frames.NO_ERROR))
        if not self.calls:
            self._transport.close()

    def close(self) -> None:
        """End the calls under way, and the connection."""
        for call in list(self.calls.values()):
            call.finish(grpc.StatusCode.UNAVAILABLE, "The gateway is shutting down.")
            call.cancel()
        self._transport.close()

    def _break(self, error: WireError) -> None:
        self.write(frames.goaway(self._last_stream, error.code, error.reason))
        for call in list(self.calls.values()):
            call.cut()
        self._transport.close()
