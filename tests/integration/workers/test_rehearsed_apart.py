"""`rehearse` of handlers that run in processes of their own: there, and not in the worker."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contracts import rehearsing
from gateway.migration.rehearsal.probe_outcomes import OUTCOMES
from gateway.migration.rehearsal.reasons import Weight
from gateway.settings import Settings
from gateway.storage.database import Database
from workers.execution.isolated import IsolatedExecution
from workers.rehearsal.context import RehearsalContext
from workers.rehearsal.rehearsing import Rehearsed, Rehearsing

PLUG_INS = Path(rehearsing.__file__).parents[1]


@pytest.fixture
async def isolated(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[IsolatedExecution]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUG_INS), os.environ.get("PYTHONPATH", "")]))
    execution = IsolatedExecution(
        Settings(database_url=database.url, handlers="contracts.rehearsing", isolated_types="*")
    )
    yield execution
    await execution.close()


async def rehearse(isolated: IsolatedExecution, database: Database, name: str, **limits: float) -> Rehearsed:
    handler = rehearsing.Handler(getattr(rehearsing, name))
    context: Any = RehearsalContext(database)
    return await Rehearsing(isolated, **limits).run(handler, {"task_id": "t1"}, context)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "outcome", "detail"),
    [
        ("good", "rehearsed", ""),
        ("plain", "rehearsed", ""),
        ("writes", "wrote", "it tried _update_task_log"),
        ("raises", "raised", "LookupError: no such model"),
        ("exits", "raised", "SystemExit: 3"),
        ("dies", "raised", "The process of the handler ended with code 3"),
        ("waits", "blocked", "rehearse() did not return within 0.5 s"),
        ("blocks", "blocked", "rehearse() did not return within 0.5 s"),
    ],
)
async def test_what_is_answered(
    isolated: IsolatedExecution, database: Database, name: str, outcome: str, detail: str
) -> None:
    rehearsing.SEEN.clear()
    found = await rehearse(isolated, database, name, limit=0.5)
    assert (found.outcome, found.detail) == (outcome, detail)
    assert found.seconds is not None
    assert rehearsing.SEEN == [], "it was called in this process"


async def test_no_task_runs_beside_a_thread_that_was_left_behind(
    isolated: IsolatedExecution, database: Database
) -> None:
    assert (await rehearse(isolated, database, "good")).outcome == "rehearsed"
    [kept] = isolated._idle
    assert (await rehearse(isolated, database, "blocks", limit=0.5)).outcome == "blocked"
    assert isolated._idle == []
    assert await kept.process.wait() != 0


async def only_here(payload: dict[str, Any], context: Any) -> None:
    """Of a type that processes of handlers do not know, so that they fail themselves."""


@pytest.mark.parametrize(
    ("settings", "limits", "detail"),
    [
        ({}, {}, "the worker knows this type, and its processes do too"),
        ({"handlers": "contracts.absent"}, {}, "A process for the handler could not be started: code 1"),
        ({}, {"start_seconds": 0.0}, "A process for the handler did not start within 0 s"),
    ],
)
async def test_what_the_worker_itself_fails_at_is_not_the_handlers(
    database: Database,
    isolated: IsolatedExecution,
    settings: dict[str, str],
    limits: dict[str, float],
    detail: str,
) -> None:
    execution = isolated
    if settings:
        execution = IsolatedExecution(Settings(database_url=database.url, isolated_types="*", **settings))
    handler: Any = rehearsing.Handler(only_here)
    context: Any = RehearsalContext(database)
    found = await Rehearsing(execution, **limits).run(handler, {"task_id": "t1"}, context)
    assert found == Rehearsed("worker_failed", detail)
    assert OUTCOMES["worker_failed"].weight is Weight.UNKNOWN  # type: ignore[union-attr]
