"""Claims of tasks, and the answer to the engine if a claim is not granted."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from gateway.tasks.lifecycle.claim import Claim, ClaimStatus
from gateway.tasks.lifecycle.foreign import ForeignTasks, PayloadUnstorable
from gateway.tasks.lifecycle.transitions import Transitions
from workers.outage_retry import until_stored
from workers.outcome import Assignment, Completed, Outcome, Refused, Stopped
from workers.slots import FixedSlots

#: A task that cannot be claimed now is offered again after this.
HELD_PAUSE = timedelta(seconds=1)
#: One that another living attempt holds: after this part of the time that it has held it, up to the longest pause. A
#: long run that its engine has given up (`workers.temporal.activities`) would else be offered again every second.
HELD_PART, LONGEST_HELD_PAUSE = 0.1, timedelta(seconds=10)


@dataclass(slots=True)
class _Asking:
    """The claim of one offer. It may have to be asked for several times, and is granted once."""

    token: int = field(default_factory=lambda: secrets.randbits(62))
    begun: bool = False


class Claims:
    """The claims of one worker process; `slots` are told how long they take.

    `engine_retries`: see `workers.runner.Runner`.
    """

    def __init__(
        self,
        transitions: Transitions,
        foreign: ForeignTasks,
        worker_id: Callable[[], str],
        slots: FixedSlots,
        *,
        engine_retries: bool,
    ) -> None:
        self._transitions = transitions
        self._foreign = foreign
        self._worker_id = worker_id
        self._slots = slots
        self._engine_retries = engine_retries
        self._under_way: Counter[str] = Counter()
        self._overtaken: set[str] = set()
        """Tasks that were stopped while their claim was under way, so that its answer may be older than the stop."""

    def stopped(self, task_id: str) -> None:
        """A task that does not run here was stopped."""
        if task_id in self._under_way:
            self._overtaken.add(task_id)

    async def claim(self, assignment: Assignment) -> Claim | Outcome:
        """The claim; checked again if a stop came before its answer."""
        task_id = assignment.task_id
        self._under_way[task_id] += 1
        asking = _Asking()
        try:
            claim = await until_stored(lambda: self._ask(assignment, asking))
            if isinstance(claim, Claim) and task_id in self._overtaken:
                held = [(task_id, claim.attempt)]
                if task_id not in await until_stored(lambda: self._transitions.still_running(held)):
                    return Stopped("stopped")
            return claim
        finally:
            self._under_way[task_id] -= 1
            if not self._under_way[task_id]:
                del self._under_way[task_id]
                self._overtaken.discard(task_id)

    async def _ask(self, assignment: Assignment, asking: _Asking) -> Claim | Outcome:
        worker_id, transitions = self._worker_id(), self._transitions
        task_id, group_id, wanted = assignment.task_id, assignment.group_id, assignment.payload is None
        pushed = assignment.payload if assignment.epoch is None else None

        async def ask() -> Claim | None:
            asked, again = time.monotonic(), asking.begun
            asking.begun = True
            claim = await transitions.claim(
                task_id,
                assignment.backend,
                assignment.epoch,
                worker_id,
                with_payload=wanted,
                token=asking.token,
                again=again,
            )
            self._slots.claimed(time.monotonic() - asked, claim.tenant_id if claim else None)
            return claim

        foreign = pushed is not None and not asking.begun
        if foreign and (wrong := await self._foreign.judge(task_id, group_id, pushed or {})) is not None:
            return Refused(wrong, set_aside=True)
        if (claim := await ask()) is not None:
            return claim
        status = await transitions.claim_status(task_id, worker_id)
        if status is None and assignment.payload is not None:
            adopted = await self._adopt(assignment, assignment.payload)
            if isinstance(adopted, Refused):
                return adopted
            if adopted and (claim := await ask()) is not None:
                return claim
            status = await transitions.claim_status(task_id, worker_id)
        if status is not None and status.expired and await transitions.expire(task_id=task_id):
            return Refused("its deadline has passed", retry_in=None)
        return self._refusal(assignment, status)

    async def _adopt(self, assignment: Assignment, payload: dict[str, Any]) -> bool | Refused:
        """Take a task without a dispatch row into the gateway's care: a legacy producer's, or one given back."""
        task_id, group_id, tasks = assignment.task_id, assignment.group_id, self._foreign
        if assignment.epoch is None:
            try:
                return await tasks.adopt(task_id, group_id, assignment.task_type, payload)
            except PayloadUnstorable as error:
                return Refused(error.message, set_aside=True)
        if assignment.backend != "redis" or not await tasks.is_given_back(task_id):
            return False
        if (wrong := await tasks.judge(task_id, group_id, payload)) is not None:
            return Refused(wrong, set_aside=True)
        return await tasks.take_again(task_id, group_id, assignment.task_type, assignment.epoch)

    def _refusal(self, assignment: Assignment, status: ClaimStatus | None) -> Outcome:
        if status is None:
            return Refused("the gateway knows no such task", retry_in=None)
        current = status.backend == assignment.backend and assignment.epoch in (None, status.epoch)
        if current and status.state == "completed":
            # The previous run reported to PostgreSQL, but died before it told the engine.
            return Completed(None)
        if current and status.state in ("starting", "queued"):
            if not status.worker_alive:
                return Refused("this worker lost its lease", retry_in=HELD_PAUSE)
            return Refused("a legacy worker has it" if status.legacy_has_it else "it is paused", retry_in=HELD_PAUSE)
        if current and status.state == "running" and self._engine_retries:
            return Refused("another attempt holds the claim", retry_in=held_pause(status.claimed_seconds))
        return Refused(f"superseded: the task is {status.state} on {status.backend}", retry_in=None)


def held_pause(claimed_seconds: float | None) -> timedelta:
    """Until a task is offered again that another attempt has claimed so many seconds ago."""
    return min(max(timedelta(seconds=(claimed_seconds or 0.0) * HELD_PART), HELD_PAUSE), LONGEST_HELD_PAUSE)
