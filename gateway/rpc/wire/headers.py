"""Header blocks: requests are read with `hpack`, answers are written without a table (RFC 7541)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from hpack import Decoder
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable

from gateway.rpc.wire.frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, WireError

#: Largest header list (bytes, as RFC 7541 counts them), and so many blocks are remembered.
LARGEST: Final = 16 * 1024
_REMEMBERED = 32

#: Of an answer: `:status: 200`, `content-type: application/grpc`.
BEGIN: Final = b"\x88\x0f\x10\x10application/grpc"
#: Trailers of a call that succeeded.
OK: Final = b"\x00\x0bgrpc-status\x010"

Metadata = dict[str, str]


class _Table(HeaderTable):
    """Counts its changes."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)


class HeaderReader:
    """Reads the header blocks of one connection, in their order.

    Clients repeat themselves: a block that leaves the table as it is means the same as long as the table stays, so that
    its meaning is remembered.
    """

    def __init__(self) -> None:
        self._decoder = Decoder(LARGEST)
        self._table = _Table()
        self._decoder.header_table = self._table
        self._known: dict[bytes, Metadata] = {}

    def read(self, block: bytes) -> Metadata:
        """The first value of each name; binary ones (`-bin`) as they came. Raises `WireError`."""
        if (known := self._known.get(block)) is not None:
            return known
        before, size = self._table.changes, self._table.maxsize
        try:
            found: Iterable[Any] = self._decoder.decode(block, raw=True)
        except OversizedHeaderListError:
            raise WireError(ENHANCE_YOUR_CALM, "the metadata is too large") from None
        except (HPACKError, IndexError, ValueError):
            raise WireError(COMPRESSION_ERROR) from None
        metadata: Metadata = {}
        for name, value, *_ in found:
            metadata.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        if self._table.changes != before or self._table.maxsize != size or (block[:1] and block[0] & 0xE0 == 0x20):
            self._known.clear()
        elif len(self._known) < _REMEMBERED:
            self._known[block] = metadata
        return metadata


def field(name: str, value: str) -> bytes:
    """One header, as a literal that no table remembers."""
    return b"\x00" + _text(name) + _text(value)


def trailers(status: int, message: str, details: bytes = b"") -> bytes:
    """How a call ended that did not succeed."""
    block = field("grpc-status", str(status)) + field("grpc-message", quote(message, safe=_SAFE))
    if details:
        block += field("grpc-status-details-bin", b64encode(details).rstrip(b"=").decode())
    return block


def binary(value: str) -> bytes:
    """The bytes of a `-bin` header. Raises `ValueError`."""
    try:
        return b64decode(value + "=" * (-len(value) % 4), validate=True)
    except Base64Error as error:
        raise ValueError(str(error)) from None


#: What `grpc-message` need not escape.
_SAFE = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


def _text(text: str) -> bytes:
    raw = text.encode("latin-1")
    size = len(raw)
    if size < 127:
        return bytes((size,)) + raw
    prefix, rest = bytearray(b"\x7f"), size - 127
    while rest > 127:
        prefix.append(rest & 127 | 128)
        rest >>= 7
    prefix.append(rest)
    return bytes(prefix) + raw
