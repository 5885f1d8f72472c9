"""Fault points: steps of a task at which a process can be made to kill itself, for the fault suite. Off by default."""

from __future__ import annotations

import os
import signal

#: In the order of a task's way.
POINTS = (
    "after_firing_noted",  # gateway: a schedule's time is noted, nothing submitted
    "before_firing_commit",  # gateway: a firing is taken, neither it nor its task committed
    "before_accept",  # gateway, or worker that opens nodes of a DAG: the rows are not yet written
    "after_accept",  # the same: committed, nothing started
    "before_start",  # the same: about to tell the engine
    "after_start",  # the same: the engine has it, nothing recorded
    "before_withdraw",  # the leader in a rampdown: about to ask the engine for what nobody has begun
    "after_withdraw",  # the same: the engine gave it back, the rows say that it has it
    "after_rewait",  # the same: the rows say that it waits
    "before_rollback",  # the leader's guardrails: decided, nothing written
    "in_rollback",  # the same: everything written, not committed
    "after_rollback",  # the same: committed, nothing told
    "before_plan_step",  # the leader's plans: decided, nothing written
    "after_plan_step",  # the same: the state and its entry are committed
    "after_plan_begin",  # the same: tenants are marked as being moved, the flag says nothing of it
    "before_plan_move",  # the same: about to change the flag
    "after_plan_move",  # the same: the flag is changed, and where that is another transaction, nothing recorded
    "after_claim",  # worker: claimed, the handler not begun
    "before_report",  # worker: the handler returned, nothing reported
    "after_report",  # worker: reported, the engine not told
)

_armed: dict[str, int] = {}


def arm(spec: str) -> None:
    """`after_start:3` kills the process the third time it passes there. Raises `ValueError` for an unknown point."""
    if not spec:
        return
    point, _, count = spec.partition(":")
    if point not in POINTS:
        raise ValueError(f"no fault point {point!r}; there are {', '.join(POINTS)}")
    _armed[point] = int(count or 1)


def passing(point: str) -> None:
    """Kill this process if it is this point's turn (SIGKILL: nothing is cleaned up)."""
    if not _armed or point not in _armed:
        return
    _armed[point] -= 1
    if _armed[point] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
