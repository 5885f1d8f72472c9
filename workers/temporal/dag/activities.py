"""The local activities of `taskgate.dag`: the steps of `gateway.dags.steps`, with errors as Temporal takes them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from gateway.dags.run_reader import RunOver, StepOutdated
from gateway.dags.steps import DagSteps
from gateway.storage.driver_errors import is_outage, took_too_long
from workers.temporal.dag import step_names as steps

log = logging.getLogger(__name__)
T = TypeVar("T")

#: An unexpected error fails the run after so many tries of the step.
MOST_TRIES = 5


class DagActivities:
    """One per worker process."""

    def __init__(self, carrier: DagSteps) -> None:
        self._carrier = carrier

    @property
    def all(self) -> list[Callable[..., Any]]:
        return [self.begin, self.open, self.undo, self.finish]

    @activity.defn(name=steps.BEGIN)
    async def begin(self, run_id: str, epoch: int) -> Any:
        return await _told(self._carrier.begin(run_id, epoch))

    @activity.defn(name=steps.OPEN)
    async def open(self, run_id: str, epoch: int, requests: list[list[Any]], percent: int) -> Any:
        return await _told(self._carrier.open(run_id, epoch, requests, percent))

    @activity.defn(name=steps.UNDO)
    async def undo(self, run_id: str, epoch: int, node: str) -> Any:
        return await _told(self._carrier.undo(run_id, epoch, node))

    @activity.defn(name=steps.FINISH)
    async def finish(self, run_id: str, epoch: int, outcome: str, error: str | None, cause: str | None) -> Any:
        return await _told(self._carrier.finish(run_id, epoch, outcome, error, cause))


async def _told(step: Awaitable[T]) -> Any:
    try:
        return await step
    except RunOver:
        return {"over": True}
    except Exception as error:
        if isinstance(error, StepOutdated) or is_outage(error) or took_too_long(error):
            raise  # tried again for as long as it takes
        tried_enough = activity.info().attempt >= MOST_TRIES
        log.exception("a step of DAG run failed")
        raise ApplicationError(
            f"{type(error).__name__}: {error}"[:4000], type="DagStep", non_retryable=tried_enough
        ) from error
