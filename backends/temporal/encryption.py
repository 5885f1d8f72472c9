"""Payloads that Temporal cannot read: AES-256-GCM, by keys with ids, in the form of Temporal's own samples.

What is encrypted: inputs, results, signals, queries, memos, messages and stacks of failures. Temporal needs the rest
in clear: ids, names of queues and types, search attributes, fairness keys.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from backends.errors import PayloadKeyMissing, PayloadUnreadable

log = logging.getLogger(__name__)

ENCODING: Final = b"binary/encrypted"
CIPHER: Final = b"AES-256-GCM"
KEY_ID: Final = "encryption-key-id"
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


class KeyRing:
    """Keys by id; the first one encrypts, all decrypt."""

    def __init__(self, keys: Sequence[tuple[str, bytes]]) -> None:
        self.primary = keys[0][0]
        self._keys = {key_id: AESGCM(key) for key_id, key in keys}

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """A key a line, as `<id> <32 bytes in base64>`; empty lines and lines that begin with `#` do not count.

        Raises `ValueError` that names the line, and never quotes it.
        """
        keys: list[tuple[str, bytes]] = []
        for number, line in enumerate(text.splitlines(), 1):
            if not (words := line.split()) or words[0].startswith("#"):
                continue
            if len(words) != 2:
                raise ValueError(f"line {number}: write `<key id> <32 bytes in base64>`")
            try:
                key = base64.b64decode(words[1], validate=True)
            except binascii.Error:
                raise ValueError(f"line {number}: the key is not base64") from None
            if len(key) != _KEY_BYTES:
                raise ValueError(f"line {number}: the key has {len(key)} bytes; AES-256 needs {_KEY_BYTES}")
            if words[0] in dict(keys):
                raise ValueError(f"line {number}: the key id {words[0]} is there already")
            keys.append((words[0], key))
        if not keys:
            raise ValueError("there is no key")
        return cls(keys)

    def encrypt(self, plain: bytes) -> bytes:
        """The nonce, and the text with its tag; by the first key."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._keys[self.primary].encrypt(nonce, plain, self.primary.encode())

    def decrypt(self, key_id: str, data: bytes) -> bytes:
        """Raises `PayloadKeyMissing`, and `PayloadUnreadable` when key and data do not belong together."""
        if (key := self._keys.get(key_id)) is None:
            raise PayloadKeyMissing(
                f"A payload was encrypted with the key {key_id!r}, which this process does not have."
            )
        try:
            return key.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], key_id.encode())
        except (InvalidTag, ValueError):
            raise PayloadUnreadable(f"A payload cannot be decrypted with the key {key_id!r}.") from None


class FollowedKeyRing:
    """The ring of a text that may change, such as that of a file; a text that is no ring leaves the last one in force.

    Raises `ValueError` when it is made and the text cannot be used.
    """

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self._seen = text()
        self._ring = KeyRing.parse(self._seen)

    def ring(self) -> KeyRing:
        """The ring as the text says now."""
        if (now := self._text()) != self._seen:
            self._seen = now
            try:
                self._ring = KeyRing.parse(now)
                log.info("the keys of payloads were read anew; %s encrypts", self._ring.primary)
            except ValueError as error:
                log.warning("the keys of payloads stay as they were: %s", error)
        return self._ring


class FixedKeyRing:
    """A ring that does not change."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def ring(self) -> KeyRing:
        return self._ring


class EncryptionCodec(PayloadCodec):
    """Encrypts what goes to Temporal and decrypts what comes from there. What came in clear stays readable, so that
    encryption can be switched on while tasks are on their way."""

    def __init__(self, keys: FollowedKeyRing | FixedKeyRing) -> None:
        self._keys = keys

    async def encode(self, payloads: Iterable[Payload]) -> list[Payload]:
        ring = self._keys.ring()
        key_id = ring.primary.encode()
        return [
            Payload(
                metadata={"encoding": ENCODING, "encryption-cipher": CIPHER, KEY_ID: key_id},
                data=ring.encrypt(payload.SerializeToString()),
            )
            for payload in payloads
        ]

    async def decode(self, payloads: Iterable[Payload]) -> list[Payload]:
        """Raises `PayloadKeyMissing`, `PayloadUnreadable`."""
        return [self._decoded(payload) for payload in payloads]

    def _decoded(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        plain = self._keys.ring().decrypt(payload.metadata[KEY_ID].decode(errors="replace"), payload.data)
        try:
            return Payload.FromString(plain)
        except DecodeError:
            raise PayloadUnreadable from None


def codec_of(text: Callable[[], str]) -> EncryptionCodec:
    """The codec with the keys of a text that may change. Raises `ValueError` in one line when they cannot be used."""
    return EncryptionCodec(FollowedKeyRing(text))
