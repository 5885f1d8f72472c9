"""How probes end, and what to do about each end."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from gateway.migration.rehearsal.reasons import Reason, Weight


class ProbeOutcome(StrEnum):
    """Ends that the gateway itself gives; all of them are in `OUTCOMES`."""

    TEMPORAL_AWAY = "temporal_away"
    NOT_SENT = "not_sent"
    UNSUPPORTED = "unsupported"
    REFUSED = "refused"
    LOST = "lost"


#: None: the probe went as it should.
OUTCOMES: Final[dict[str, Reason | None]] = {
    "rehearsed": None,
    "no_rehearse": None,
    "no_handler": Reason(
        Weight.PROBLEM,
        "the worker that took the probe has no handler of this type",
        "install the handler's module on all Temporal workers (TASKGATE_HANDLERS), and restart them",
    ),
    "not_taken": Reason(
        Weight.PROBLEM,
        "no worker took the probe in time",
        "see that workers of the tenant's pool run and have free slots: taskgate workers",
    ),
    "no_slot": Reason(
        Weight.PROBLEM, "the worker that took the probe had no free slot", "add workers to the tenant's pool"
    ),
    "not_decodable": Reason(
        Weight.PROBLEM, "the worker cannot decode the payload", "give gateways and workers the same version and codec"
    ),
    "raised": Reason(
        Weight.PROBLEM,
        "the handler's rehearse() raised",
        "see taskgate migration rehearsal probes: the task would fail there, too, or rehearse() is wrong",
    ),
    "blocked": Reason(
        Weight.PROBLEM,
        "the handler's rehearse() did not return in time",
        "see what it waits for: the task might wait for it, too",
    ),
    "wrote": Reason(
        Weight.UNKNOWN,
        "the handler's rehearse() tried to write, which was refused",
        "correct rehearse(): it must have no side effects (docs/handlers.md)",
    ),
    "worker_too_old": Reason(
        Weight.UNKNOWN, "the worker that took the probe does not know probes", "update the Temporal workers"
    ),
    "worker_failed": Reason(
        Weight.UNKNOWN,
        "the worker itself failed, before the handler's rehearse() was called",
        "see the detail in taskgate migration rehearsal probes, and the worker's log",
    ),
    "worker_stopped": Reason(Weight.UNKNOWN, "the worker was stopped meanwhile", "nothing: later probes are answered"),
    "no_database": Reason(
        Weight.UNKNOWN, "the worker could not reach PostgreSQL", "see that it reaches TASKGATE_DATABASE_URL"
    ),
    "row_gone": Reason(Weight.UNKNOWN, "the task was deleted meanwhile", "nothing: later probes are answered"),
    "cancelled": Reason(Weight.UNKNOWN, "somebody ended the probe in Temporal", "nothing: later probes are answered"),
    "not_understood": Reason(
        Weight.UNKNOWN, "the answer of the worker is not understood", "give gateways and workers the same version"
    ),
    ProbeOutcome.LOST: Reason(
        Weight.UNKNOWN, "no answer came: the worker was lost, or hangs", "see the worker's log if it happens again"
    ),
    ProbeOutcome.TEMPORAL_AWAY: Reason(
        Weight.UNKNOWN,
        "Temporal could not be reached",
        "see that TASKGATE_TEMPORAL_ADDRESS answers",
    ),
    ProbeOutcome.NOT_SENT: Reason(
        Weight.UNKNOWN, "the gateway ended before it sent the probe", "nothing: later probes are sent"
    ),
    ProbeOutcome.UNSUPPORTED: Reason(
        Weight.UNKNOWN,
        "only tasks that run as standalone activities are probed",
        "nothing: their starts are checked all the same",
    ),
    ProbeOutcome.REFUSED: Reason(
        Weight.PROBLEM, "Temporal refuses the probe, as it would the task", "see taskgate migration rehearsal probes"
    ),
}
