"""Ids of tasks."""

from __future__ import annotations

import os
import time
import uuid

#: Bits of a UUID that name its version (7) and variant (RFC 9562).
_VERSION = 7 << 76
_VARIANT = 0b10 << 62


def new_task_id() -> str:
    """A UUID of version 7, so that the ids of one time stand beside each other in every index.

    All its 74 free bits are random: whoever knows an id may follow its task (contract §1), so none may follow from
    another. Libraries fill a part of them with a counter.
    """
    milliseconds = time.time_ns() // 1_000_000 & (1 << 48) - 1
    chance = int.from_bytes(os.urandom(10))
    high, low = chance >> 68, chance & (1 << 62) - 1
    return str(uuid.UUID(int=milliseconds << 80 | _VERSION | high << 64 | _VARIANT | low))


def can_be_computed(task_id: str) -> bool:
    """Whether the id follows from another one, as those of firings and of nodes do (UUIDs of version 5): whoever once
    saw their schedule or run knows them, also of tasks to come, so that they allow nothing."""
    try:
        return uuid.UUID(task_id).version == 5
    except ValueError:  # a legacy producer's
        return False
