"""From the bytes of a stream to messages: length prefixes and compression, within a limit."""

from __future__ import annotations

import zlib
from typing import Final

from gateway.errors import BodyTooLarge, InvalidRequest

_WINDOW_BITS: Final = {"gzip": 31, "deflate": 15}
_PREFIX: Final = 5


class Unframing:
    """Of one stream. `limit` in bytes, of a message before and after it is unpacked; `rest` has begun and not ended."""

    __slots__ = ("_encoding", "_limit", "rest")

    def __init__(self, encoding: str, limit: int) -> None:
        self._encoding = encoding
        self._limit = limit
        self.rest = bytearray()

    def messages(self, data: bytes) -> list[bytes]:
        """The messages that are whole with this. Raises `BodyTooLarge`, `InvalidRequest`."""
        found: list[bytes] = []
        buffer: bytes | bytearray = data
        if self.rest:
            self.rest += data
            buffer = self.rest
        position, size = 0, len(buffer)
        while size - position >= _PREFIX:
            length = int.from_bytes(buffer[position + 1 : position + _PREFIX], "big")
            if length > self._limit:
                raise BodyTooLarge
            end = position + _PREFIX + length
            if end > size:
                break
            raw = bytes(buffer[position + _PREFIX : end])
            found.append(self._unpacked(raw) if buffer[position] else raw)
            position = end
        if buffer is self.rest:
            del self.rest[:position]
        elif position < size:
            self.rest = bytearray(buffer[position:])
        return found

    def _unpacked(self, raw: bytes) -> bytes:
        bits = _WINDOW_BITS.get(self._encoding)
        if bits is None:
            raise InvalidRequest("A message is compressed in a way that its metadata does not name.")
        unpacker = zlib.decompressobj(bits)
        try:
            unpacked = unpacker.decompress(raw, self._limit + 1)
        except zlib.error:
            raise InvalidRequest("A message is not compressed as its metadata says.") from None
        if len(unpacked) > self._limit:
            raise BodyTooLarge
        if not unpacker.eof:
            raise InvalidRequest("A compressed message has no end.")
        return unpacked
