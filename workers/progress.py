"""What a run's handler reports on its way."""

from __future__ import annotations

import logging
from typing import Any

from gateway.status.transitions import Claim, Transitions

log = logging.getLogger(__name__)


class ProgressReporter:
    """What a handler's context reports through; bound to one claim, so that a late word changes nothing."""

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
        await self._transitions.progress(
            task_id,
            self._claim.attempt,
            progress=progress,
            result=result,
            message=message,
            increment_retry=increment_retry,
        )
