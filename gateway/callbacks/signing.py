"""Standard Webhooks: secrets, and signatures of a message (id, time, body)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "whsec_"
_BYTES = 32


def create_secret() -> str:
    """A new secret: the prefix and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def headers_for(message_id: str, timestamp: int, body: bytes, valid: Iterable[str]) -> dict[str, str]:
    """The headers of one attempt, with a signature by each valid secret. `timestamp` is Unix time in seconds."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_sign(secret, message_id, timestamp, body) for secret in valid),
    }


def _sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()
