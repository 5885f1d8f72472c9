"""Progress reports of a handler."""

from __future__ import annotations

import logging
import math
from typing import Any

from gateway.storage.driver_errors import UNSTORABLE
from gateway.tasks.lifecycle.claim import Claim
from gateway.tasks.lifecycle.transitions import Transitions
from gateway.tasks.payload import encode_json
from workers.outage_retry import until_taken

log = logging.getLogger(__name__)


class ProgressReporter:
    """Writes the reports of a handler. Bound to one claim, so that a late report changes nothing.

    While PostgreSQL is away or takes none, a report waits, and the handler with it: a healthy run must not fail because
    of that.
    """

    def __init__(self, transitions: Transitions, claim: Claim) -> None:
        self._transitions = transitions
        self._claim = claim
        self.result: Any = None
        self.unwritten: str | None = None
        """The result as JSON, if it is to be stored with the end of the run."""

    async def update(
        self,
        task_id: str,
        *,
        progress: object = None,
        result: Any = None,
        message: object = None,
        increment_retry: bool = False,
    ) -> None:
        """Raises for a result that JSON cannot express or PostgreSQL cannot store. Invalid progress and messages are
        corrected instead.
        """
        if task_id != self._claim.task_id:
            log.warning("handler of task %s reported on another task; ignored", self._claim.task_id)
            return
        if result is not None:
            self.result = result
        percent, text = percent_of(progress), text_of(message)
        if percent is None and progress is not None:
            log.warning("task %s reported a progress that is no number; ignored", task_id)
        increment = bool(increment_retry)

        async def report() -> bool:
            nonlocal increment
            once, increment = increment, False  # the first try may have succeeded, with its answer lost
            return await self._transitions.progress(
                task_id,
                self._claim.attempt,
                progress=percent,
                result=result,
                message=text,
                increment_retry=once,
            )

        await until_taken(task_id, report, unless=UNSTORABLE)

    def returned(self, value: object) -> None:
        """The handler has returned: a dict is its result, unless it reported one. Raises as `update` does.

        It is stored with the end of the run: by itself it could be refused, and the run fail though its work is done.
        """
        if value is None:
            return
        if not isinstance(value, dict):
            log.warning("the handler of task %s returned a %s; ignored", self._claim.task_id, type(value).__name__)
        elif self.result is None:
            self.unwritten = encode_json(value)
            self.result = value


def percent_of(value: Any) -> int | None:
    """A reported progress, limited to 0 to 100; None if it is not a number."""
    if value is None:
        return None
    try:
        number = float(value)
    except OverflowError:
        return 100 if value > 0 else 0
    except Exception:  # noqa: BLE001 - a foreign object may raise anything
        return None
    return None if math.isnan(number) else int(min(max(number, 0.0), 100.0))


def text_of(value: object) -> str | None:
    """A reported message as text."""
    try:
        return None if value is None else str(value)
    except Exception:  # noqa: BLE001 - a foreign object may raise anything
        return type(value).__name__
