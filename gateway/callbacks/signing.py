"""Standard Webhooks: secrets, and signatures of a message (id, time, body)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

PREFIX: Final = "whsec_"
_BYTES = 32


def create_secret() -> str:
    """A new secret: the prefix and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def headers_for(message_id: str, timestamp: int, body: str, valid: Iterable[str]) -> dict[str, str]:
    """The headers of one attempt, with a signature by each valid secret. `timestamp` is Unix time in seconds."""
    moment = datetime.fromtimestamp(timestamp, UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, moment, body) for secret in valid),
    }
