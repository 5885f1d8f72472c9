"""What a run's handler reports on its way."""

from __future__ import annotations

import logging
from typing import Any

from gateway.tasks.lifecycle.claim import Claim
from gateway.tasks.lifecycle.transitions import Transitions
from workers.persistence import until_stored

log = logging.getLogger(__name__)


class ProgressReporter:
    """What a handler's context reports through; bound to one claim, so that a late word changes nothing.

    While PostgreSQL is away a report waits, and its handler with it: a healthy run must not fail for that.
    """

    def __init__(self, transitions: Transitions, claim: Claim) -> None:
        self._transitions = transitions
        self._claim = claim
        self.result: Any = None

    async def update(
        self,
        task_id: str,
        *,
        progress: int | None = None,
        result: Any = None,
        message: str | None = None,
        increment_retry: bool = False,
    ) -> None:
        if task_id != self._claim.task_id:
            log.warning("handler of task %s reported on another task; ignored", self._claim.task_id)
            return
        if result is not None:
            self.result = result
        increment = increment_retry

        async def report() -> bool:
            nonlocal increment
            once, increment = increment, False  # the first try may have been carried out, its answer lost
            return await self._transitions.progress(
                task_id,
                self._claim.attempt,
                progress=progress,
                result=result,
                message=message,
                increment_retry=once,
            )

        await until_stored(report)
