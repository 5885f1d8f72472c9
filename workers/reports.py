"""Reports of the end of a run: to PostgreSQL, and as outcome for the engine."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from gateway.observability.error_text import message_of
from gateway.storage.driver_errors import DRIVER_ERRORS, UNSTORABLE
from gateway.tasks.lifecycle.claim import Claim, FailureVerdict
from gateway.tasks.lifecycle.transitions import Transitions
from workers.execution.isolated import HandlerFailed
from workers.failure import ErrorNames, Failure, failure_of
from workers.outcome import FENCED, Completed, Failed, Outcome, Stopped

log = logging.getLogger(__name__)
T = TypeVar("T")

#: How much of an error's message the log shows (characters); the attempt keeps all of it.
LONGEST_LOGGED = 2000


class Reports:
    """The reports of one worker process. Each may be repeated after an error of PostgreSQL.

    `non_retryable`, `engine_retries`: see `workers.runner.Runner`.
    """

    def __init__(
        self,
        transitions: Transitions,
        worker_id: Callable[[], str],
        non_retryable: ErrorNames,
        *,
        engine_retries: bool,
    ) -> None:
        self._transitions = transitions
        self._worker_id = worker_id
        self._non_retryable = non_retryable
        self._engine_retries = engine_retries

    async def success(self, claim: Claim, result: Any, unwritten: str | None = None) -> Outcome:
        """The handler returned. `unwritten`: its result as JSON, if that is not stored yet. A run whose result cannot
        be stored has failed.
        """
        try:
            done = await self._accepted(claim, self._transitions.complete(claim.task_id, claim.attempt, unwritten))
        except UNSTORABLE as error:
            if unwritten is None:
                raise
            return await self.failure(claim, error)
        if done:
            return Completed(result if isinstance(result, dict) else None)
        return await self._after_fence(claim)

    async def failure(self, claim: Claim, error: BaseException) -> Outcome:
        """The handler raised this error, or took too long."""
        if isinstance(error, HandlerFailed):
            failure = error.failure
        else:
            failure = failure_of(error, claim.task_type, self._non_retryable)
        try:
            verdict = await self._accepted(claim, self._fail(claim, failure))
        except UNSTORABLE as refused:
            text = f"{failure.error_type}; its message cannot be stored: {refused}"
            failure = replace(failure, text=text, told=f"it cannot be stored: {message_of(refused)}", stack="")
            verdict = await self._accepted(claim, self._fail(claim, failure))
        if verdict is None:
            return await self._after_fence(claim)
        level = logging.ERROR if verdict.retry_in is None else logging.WARNING
        said = f"{failure.error_type}: {failure.told[:LONGEST_LOGGED]}"
        log.log(level, "task %s, attempt %d failed: %s\n%s", claim.task_id, claim.attempt, said, failure.stack)
        return Failed(failure.text, failure.error_type, verdict.retry_in)

    async def hand_back(self, claim: Claim) -> bool:
        """The run is given up unfinished: the engine is to offer the task again."""
        return await self._transitions.hand_back(claim.task_id, claim.attempt)

    async def _fail(self, claim: Claim, failure: Failure) -> FailureVerdict | None:
        return await self._transitions.fail(
            claim.task_id,
            claim.attempt,
            failure.text,
            final=failure.final,
            engine_retries=self._engine_retries,
            error_type=failure.error_type,
            stack=failure.stack,
            delay=failure.delay,
        )

    async def _accepted(self, claim: Claim, report: Awaitable[T]) -> T | None:
        """What the report is answered; None also if it is refused, and the claim is lost: nobody waits for it."""
        try:
            return await report
        except DRIVER_ERRORS:
            if await self._transitions.still_running([(claim.task_id, claim.attempt)]):
                raise
            return None

    async def _after_fence(self, claim: Claim) -> Outcome:
        """A report was not accepted: perhaps an earlier try of it was, with its answer lost."""
        status = await self._transitions.claim_status(claim.task_id, self._worker_id())
        if status is not None and status.state == "completed" and status.epoch == claim.epoch:
            return Completed(None)
        return Stopped(FENCED)
