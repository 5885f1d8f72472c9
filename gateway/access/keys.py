"""API keys: their format, the header, and how they are stored (contract §1)."""

from __future__ import annotations

import hashlib
import secrets

from gateway.errors import Unauthenticated

PREFIX = "ms_sk_"

_MISSING = "Missing API key. Please provide an API key in the Authorization header."
_MALFORMED = f"Invalid API key format. API keys should start with '{PREFIX}'"


class MissingKey(Unauthenticated):
    """Missing API key. Please provide an API key in the Authorization header."""


def read_key(authorization: str | None) -> str:
    """The key in an Authorization header: `Bearer <key>`, `Token <key>` or the bare key.

    Raises `MissingKey` without a header, `Unauthenticated` for anything that cannot be a key.
    """
    if not authorization or not authorization.strip():
        raise MissingKey(_MISSING)
    scheme, separator, rest = authorization.strip().partition(" ")
    key = rest.strip() if separator and scheme.lower() in ("bearer", "token") else authorization.strip()
    if not key.startswith(PREFIX):
        raise Unauthenticated(_MALFORMED)
    return key


def hash_key(key: str) -> str:
    """The value of `api_keys.key_hash`: the hex SHA-256 of the whole key."""
    return hashlib.sha256(key.encode()).hexdigest()


def create_key() -> str:
    """A new key: the prefix and 32 random bytes in hex. It is shown once; only its hash is stored."""
    return PREFIX + secrets.token_hex(32)
