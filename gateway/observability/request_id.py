"""The id of a request: the client's own, or a new one; in the answer, and in every line of the log about it."""

from __future__ import annotations

import re
import uuid
from typing import Final

HEADER: Final = "x-request-id"
_SOUND: Final = re.compile("[A-Za-z0-9._:/+=-]{1,128}")


def request_id_of(given: str | None) -> str:
    """What the client sent, if that can be logged and sent back as it is."""
    return given if given is not None and _SOUND.fullmatch(given) else uuid.uuid4().hex
