"""Where the guardrail of one tenant stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from gateway.migration.guardrails.policy import Response
from gateway.routing.stages import Stage

#: After the first, the second and the third automatic rollback; the third one locks, too.
COOLDOWNS: Final = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4))


class Phase(StrEnum):
    """The state of a guardrail."""

    RESTING = "resting"
    """The tenant runs on Redis; a move forward arms."""
    ARMED = "armed"
    """The tenant runs on Temporal and is watched; a regression is acted upon."""
    ROLLED_BACK = "rolled_back"
    """It was taken back; a move forward arms again once the cooldown is over."""
    COOLING = "cooling"
    """It was moved forward within the cooldown: nothing is taken back before that is over."""
    LOCKED = "locked"
    """It was taken back too often; nothing is done before a person unlocks it."""


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that is said once, and holds for as long as it is there."""

    response: Response
    why: str


@dataclass(frozen=True, slots=True)
class Guard:
    """The guardrail of one tenant. Times are the database's.

    `redis_stage` is the last stage that ran on Redis, where a rollback leads; `entry_id` and `moved_at` are of the
    ledger's entry that moved it forward; `since` says from which outcome on it is compared, and with what
    (`counting.Since`).
    """

    tenant_id: str
    phase: Phase = Phase.RESTING
    redis_stage: Stage = Stage.OFF
    entry_id: int | None = None
    moved_at: datetime | None = None
    armed_at: datetime | None = None
    since: Mapping[str, Any] = field(default_factory=dict)
    rollbacks: int = 0
    """Automatic ones since a person unlocked it last."""
    rolled_back_at: datetime | None = None
    cooldown_ends: datetime | None = None
    concerns: Mapping[str, Concern] = field(default_factory=dict)
    version: int = 0

    @property
    def is_on_temporal(self) -> bool:
        return self.phase in (Phase.ARMED, Phase.COOLING)

    @property
    def is_back(self) -> bool:
        """Whether it was taken back, and nobody has moved it since."""
        return self.phase in (Phase.ROLLED_BACK, Phase.LOCKED)

    @property
    def holds(self) -> list[str]:
        """Why moves forward are refused."""
        return [one.why for one in self.concerns.values() if one.response is not Response.NOTIFY]
