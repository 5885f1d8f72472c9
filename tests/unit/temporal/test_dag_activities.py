"""Which steps of a run Temporal is to try again for as long as it takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from gateway.errors import DatabaseUnavailable
from gateway.storage.driver_errors import StatementTooLong
from workers.temporal.dag.activities import MOST_TRIES, DagActivities


class Steps:
    """Each raises what PostgreSQL's answer becomes."""

    def __init__(self, answer: Exception) -> None:
        self._answer = answer

    async def begin(self, run_id: str, epoch: int) -> Any:
        raise DatabaseUnavailable from self._answer


async def last_try(answer: Exception) -> Exception:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=MOST_TRIES)
    with pytest.raises((ApplicationError, DatabaseUnavailable)) as raised:
        await environment.run(DagActivities(Steps(answer)).begin, "run", 1)
    return raised.value


@pytest.mark.parametrize(
    "answer", [asyncpg.DiskFullError(), asyncpg.ConnectionDoesNotExistError(), StatementTooLong(8)], ids=repr
)
async def test_an_outage_or_a_statement_that_may_have_waited(answer: Exception) -> None:
    assert isinstance(await last_try(answer), DatabaseUnavailable)


async def test_a_step_that_is_cancelled_each_time_fails() -> None:
    error = await last_try(asyncpg.QueryCanceledError())
    assert isinstance(error, ApplicationError)
    assert error.non_retryable
