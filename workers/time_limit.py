"""How long one run may take, and what is said of one that takes longer."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.tasks.lifecycle.claim import Claim
from workers.handlers.base import TaskHandler

#: The time limit of a handler that has none (seconds).
DEFAULT = 600.0
#: Timers cannot be set for longer (seconds).
LONGEST = 365 * 86400.0
#: A claim that took longer (seconds) has waited: what its run lacks because of it is no fault of the handler.
LONGEST_CLAIM = 5.0


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """`seconds` from the claim on; `error` of a run that exceeds it."""

    seconds: float
    error: str


def time_limit(
    handler: TaskHandler | None, claim: Claim, engine_seconds: float | None, waited: float = 0.0
) -> TimeLimit | None:
    """The shortest of the handler's own limit, its task's, and what the engine still allows.

    `engine_seconds`: what the engine allows from its offer on (None: any time); `waited`: how much of that went by
    before the claim was granted. None: so much that the run would be cut off although the engine allows it enough,
    or allows less than the handler wants and half of that is gone.

    The engine cuts off what exceeds its limit, and offers it again as if its worker were lost: it would never end.
    """
    own = _own(handler)
    if claim.timeout_seconds is not None:
        own = min(own, claim.timeout_seconds)
    if engine_seconds is None or own <= (left := engine_seconds - waited):
        return TimeLimit(own, f"Task timed out after {own:.12g} seconds")
    if waited > LONGEST_CLAIM and (own <= engine_seconds or waited > engine_seconds / 2):
        return None
    return TimeLimit(
        max(left, 0.0),
        f"Task timed out after {left:.0f} seconds: its handler has a limit of {own:.12g}, but tasks of type"
        f" {claim.task_type} are allowed less here; divide its work, or give its type another name",
    )


def _own(handler: TaskHandler | None) -> float:
    """A foreign handler may define anything, and must not break the run."""
    try:
        own = float(getattr(handler, "timeout_seconds", DEFAULT) or DEFAULT)
    except Exception:  # noqa: BLE001
        return DEFAULT
    return min(own, LONGEST) if own > 0 else DEFAULT
