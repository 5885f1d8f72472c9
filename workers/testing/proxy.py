"""`FaultyProxy`: a TCP proxy that cuts connections, swallows what they carry or leads elsewhere, as a test says."""

from __future__ import annotations

import asyncio
import contextlib

_CHUNK = 64 * 1024


class FaultyProxy:
    """Stands at an address of its own before `host:port`. Begin with `await open()`, end with `await close()`."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._mute = False
        self._vanished: set[asyncio.Task[None]] = set()
        self.host = "127.0.0.1"
        self.port = 0
        """The proxy's own port, known after `open`; it stays the same until `close`."""

    async def open(self) -> None:
        """Listen, and pass everything on."""
        self._mute = False
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Cut every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def swallow_answers(self) -> None:
        """Requests arrive at the server; from now on nothing comes back."""
        self._mute = True

    def vanish(self) -> None:
        """The connections that there are swallow everything, both ways and without a word; new ones work."""
        self._vanished |= self._pumps

    def lead_to(self, host: str, port: int) -> None:
        """New connections go there."""
        self._target = (host, port)

    async def restore(self) -> None:
        """Undo `refuse` and `swallow_answers`; connections that missed answers are cut, as a new start."""
        muted = self._mute
        if muted:
            await self.refuse()
        await self.open()

    async def close(self) -> None:
        await self.refuse()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward_reader, onward_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        for source, sink, is_answer in ((reader, onward_writer, False), (onward_reader, writer, True)):
            pump = asyncio.create_task(self._pump(source, sink, is_answer))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)
            pump.add_done_callback(self._vanished.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_answer: bool) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await source.read(_CHUNK):
                    if not (is_answer and self._mute) and asyncio.current_task() not in self._vanished:
                        sink.write(data)
                        await sink.drain()
                if asyncio.current_task() in self._vanished:
                    await asyncio.Event().wait()  # nor is the other end told that this one has ended
        finally:
            sink.close()
            with contextlib.suppress(OSError):
                await sink.wait_closed()
