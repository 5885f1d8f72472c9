"""What a guardrail tells: each is a row of the history, an event of the live stream, and perhaps a webhook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What happened."""

    ARMED = "armed"
    COOLING = "cooling"
    RESTED = "rested"
    NOTIFIED = "notified"
    HELD = "held"
    CLEARED = "cleared"
    ROLLED_BACK = "rolled_back"
    FROZEN = "frozen"
    UNFROZEN = "unfrozen"
    LOCKED = "locked"
    UNLOCKED = "unlocked"
    CHANGED = "changed"


#: What the webhook tells.
TOLD = frozenset(
    {Kind.NOTIFIED, Kind.HELD, Kind.CLEARED, Kind.ROLLED_BACK, Kind.FROZEN, Kind.UNFROZEN, Kind.LOCKED, Kind.UNLOCKED}
)


@dataclass(frozen=True, slots=True)
class GuardrailEvent:
    """`tenant_id` None: it is about everybody. `who` is empty: the guardrail itself."""

    kind: Kind
    tenant_id: str | None
    why: str
    who: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
