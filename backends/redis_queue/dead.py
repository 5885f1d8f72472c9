"""The dead list: what was found in a group's list and is no task that anybody can run."""

from __future__ import annotations

import base64
import json
import time

SHOWN_BYTES = 64 * 1024
"""How much of a payload is kept there."""
MOST_DEAD = 10_000
"""How many entries are kept; the oldest make room."""


def entry(reason: str, group: bytes, payload: bytes, size: int) -> str:
    """One entry of the list, as JSON. `payload` may be cut, `size` is that of all of it."""
    return json.dumps(
        {
            "reason": reason,
            "group": group.decode("utf-8", "backslashreplace"),
            "payload": base64.b64encode(payload[:SHOWN_BYTES]).decode(),
            "bytes": size,
            "at": time.time(),
        }
    )
