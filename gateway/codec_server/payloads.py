"""Payloads as Temporal's UI and CLI send them to a codec server: JSON with texts in base64.

Source: https://docs.temporal.io/codecs-encryption (remote codec server).
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from temporalio.api.common.v1 import Payload, Payloads

from backends.temporal.encryption import KEY_ID
from gateway.errors import InvalidRequest

#: Characters of a name that a caller gives, and that is kept in the ledger.
LONGEST_NAME: Final = 200


def payloads_of(body: bytes) -> Payloads:
    """Raises `InvalidRequest` for what is no such JSON."""
    try:
        return Payloads(payloads=[_payload(each) for each in json.loads(body)["payloads"]])
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise InvalidRequest('The body is no JSON of the form {"payloads": [{"metadata": {}, "data": ""}]}') from None


def key_ids(payloads: Payloads) -> set[str]:
    """The ids of the keys that encrypted them."""
    return {
        payload.metadata[KEY_ID][:LONGEST_NAME].decode(errors="replace").replace("\0", "")
        for payload in payloads.payloads
        if KEY_ID in payload.metadata
    }


def _payload(given: Any) -> Payload:
    """Raises `ValueError`, `TypeError`, `AttributeError` for what is no payload."""
    metadata = {name: base64.b64decode(value, validate=True) for name, value in given.get("metadata", {}).items()}
    return Payload(metadata=metadata, data=base64.b64decode(given.get("data", ""), validate=True))
