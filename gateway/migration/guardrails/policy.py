"""What a guardrail does with what it sees: of a tenant, else of its tier, else of everybody (docs/guardrails.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Response(StrEnum):
    """What a guardrail does, from the mildest to the strongest.

    `notify`: report it. `hold`: also refuse to move the tenant forward. `roll_back`: move it back to Redis.
    """

    NOTIFY = "notify"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True, slots=True)
class Policy:
    """What applies to one tenant. A limit that is None is not watched."""

    on_regression: Response = Response.ROLL_BACK
    dry_run: bool = False
    on_threshold: Response = Response.NOTIFY
    """`notify` or `hold`: a plain threshold never rolls back by itself."""
    queue_age_seconds: float | None = None
    dead_letters_per_minute: float | None = None
    worker_losses_per_minute: float | None = None

    @property
    def limits(self) -> dict[str, float]:
        """Those that are watched."""
        names = ("queue_age_seconds", "dead_letters_per_minute", "worker_losses_per_minute")
        return {name: limit for name in names if (limit := getattr(self, name)) is not None}


def resolve(levels: Iterable[Mapping[str, Any] | None]) -> Policy:
    """The settings of each level, the most specific first; what none of them says is the default."""
    merged: dict[str, Any] = {}
    for level in levels:
        merged = {**(level or {}), **merged}
    for name in ("on_regression", "on_threshold"):
        if name in merged:
            merged[name] = Response(merged[name])
    return Policy(**merged)
