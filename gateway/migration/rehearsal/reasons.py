"""Why a start on Temporal would not be as good as on Redis: the codes, and what to do about each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class RehearsalVerdict(StrEnum):
    """Verdict on a task, or on all tasks of a tenant.

    `ready`: nothing prevents a start on Temporal. `not_ready`: the task would fail, or no worker would take it.
    `unknown`: this could not be determined. `left_out`: not checked, because there were too many. `no_data`: of a
    tenant, no task was checked.
    """

    READY = "ready"
    """Nothing speaks against its start on Temporal."""
    NOT_READY = "not_ready"
    """It would fail, or wait for nobody."""
    UNKNOWN = "unknown"
    """It could not be found out."""
    LEFT_OUT = "left_out"
    """It was not looked at: there were too many."""
    NO_DATA = "no_data"
    """Of a tenant only: no task was looked at."""


class Weight(StrEnum):
    """How much a reason counts.

    `problem`: the task would not run. `unknown`: this could not be determined. `warning`: the task would run, but
    something is different.
    """

    PROBLEM = "problem"
    UNKNOWN = "unknown"
    WARNING = "warning"
    """The task would run; something is different."""


@dataclass(frozen=True, slots=True)
class Reason:
    """`advice`: what a person can do."""

    weight: Weight
    meaning: str
    advice: str


REASONS: Final = {
    "no_worker": Reason(Weight.PROBLEM, "no Temporal worker is alive", "start one: taskgate worker --backend temporal"),
    "no_handler": Reason(
        Weight.PROBLEM,
        "no live Temporal worker has a handler of this type",
        "install the handler's module on the Temporal workers (TASKGATE_HANDLERS), and restart them",
    ),
    "no_pool": Reason(
        Weight.PROBLEM,
        "no live Temporal worker of the pool that serves the tenant's tier has a handler of this type",
        "start workers of that pool: taskgate worker --backend temporal --pool …",
    ),
    "no_pollers": Reason(
        Weight.PROBLEM,
        "nobody polls the task queue",
        "see that workers of the tenant's pool run and reach Temporal: taskgate workers",
    ),
    "not_encodable": Reason(
        Weight.PROBLEM, "the start cannot be encoded", "correct the payload or the retry policy that the client sends"
    ),
    "input_too_large": Reason(
        Weight.PROBLEM,
        "Temporal takes no input over 2 MB",
        "lower TASKGATE_TEMPORAL_INLINE_PAYLOAD_BYTES, so that the payload stays in PostgreSQL",
    ),
    "request_too_large": Reason(
        Weight.PROBLEM, "Temporal takes no request over 4 MB", "lower TASKGATE_TEMPORAL_INLINE_PAYLOAD_BYTES"
    ),
    "name_too_long": Reason(
        Weight.PROBLEM, "Temporal takes no name over 1000 bytes", "shorten the id of the tenant, or the task type"
    ),
    "attribute_cut": Reason(
        Weight.WARNING, "a search attribute keeps only 255 characters", "nothing, unless you search for the whole value"
    ),
    "attribute_missing": Reason(
        Weight.WARNING,
        "the namespace lacks search attributes, and tasks start without them",
        "add them to the namespace (docs/install.md)",
    ),
    "weight_cut": Reason(
        Weight.WARNING,
        "the tenant's weight is outside of what Temporal knows (0.001 to 1000), and is cut",
        "set another weight: taskgate tenant set",
    ),
    "group_order": Reason(
        Weight.WARNING,
        "Redis runs the tasks of a group one after the other, Temporal runs them at once",
        "see that the handler bears it; tasks of this group waited beside each other",
    ),
    "wants_redis": Reason(
        Weight.WARNING,
        "a redrive asked for Redis, which only the stages up to rampdown grant",
        "redrive it without --backend",
    ),
    "temporal_away": Reason(
        Weight.UNKNOWN, "Temporal cannot be reached", "see that TASKGATE_TEMPORAL_ADDRESS answers; tasks run on Redis"
    ),
    "temporal_not_configured": Reason(
        Weight.UNKNOWN, "this gateway has no Temporal", "set TASKGATE_TEMPORAL_ADDRESS for every gateway"
    ),
    "not_checked": Reason(
        Weight.UNKNOWN, "the check itself failed", "see the log of the leading gateway, and report it"
    ),
    "row_gone": Reason(
        Weight.UNKNOWN, "the task was deleted before it was looked at", "nothing: later tasks are looked at"
    ),
}


def verdict_of(codes: list[str]) -> RehearsalVerdict:
    """The verdict about a task for which these reasons were found."""
    weights = {REASONS[code].weight for code in codes}
    if Weight.PROBLEM in weights:
        return RehearsalVerdict.NOT_READY
    return RehearsalVerdict.UNKNOWN if Weight.UNKNOWN in weights else RehearsalVerdict.READY
