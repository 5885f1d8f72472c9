"""What the engine makes of a server that cannot do, or does not know, what a start asks for."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, cast

import pytest
from temporalio.client import Client

from backends.errors import EngineUnavailable, StartRefused
from backends.port import WorkflowRef, WorkflowStart
from backends.temporal.connection import Session
from backends.temporal.engine import TemporalEngine
from backends.temporal.errors import AlreadyExists, AttributesUnknown, Unsupported
from backends.temporal.messages import RunTask

START = WorkflowStart(WorkflowRef("t1", 1, "g", "x"), {}, timedelta(seconds=60), tenant_id="acme", queue="q")


class Shape:
    """Answers starts with the given errors, in order, then accepts."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.attributes: list[bool] = []

    async def start(self, session: Session, start: WorkflowStart, message: RunTask, *, attributes: bool) -> None:
        self.attributes.append(attributes)
        if self.errors:
            raise self.errors.pop(0)


def engine(
    monkeypatch: pytest.MonkeyPatch, activities: Shape, workflows: Shape, standalone: bool | None = None
) -> TemporalEngine:
    made = TemporalEngine("127.0.0.1:1", "taskgate", standalone=standalone)
    session = Session(cast(Client, object()), "taskgate", standalone is not False, frozenset({"TaskgateTenant"}))

    async def opened() -> Session:
        return session

    monkeypatch.setattr(cast(Any, made)._connection, "session", opened)
    monkeypatch.setattr(made, "_activities", activities)
    monkeypatch.setattr(made, "_workflows", workflows)
    return made


async def test_activities_that_are_switched_off_become_workflows(monkeypatch: pytest.MonkeyPatch) -> None:
    activities, workflows = Shape(Unsupported("Standalone activity is disabled")), Shape()
    made = engine(monkeypatch, activities, workflows)
    await made.start_workflow(START)
    await made.start_workflow(START)
    assert (len(activities.attributes), len(workflows.attributes)) == (1, 2)


async def test_an_order_for_activities_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    workflows = Shape()
    made = engine(monkeypatch, Shape(Unsupported("Standalone activity is disabled")), workflows, standalone=True)
    with pytest.raises(EngineUnavailable, match="disabled"):
        await made.start_workflow(START)
    assert workflows.attributes == []


async def test_a_start_made_before_is_the_same_start(monkeypatch: pytest.MonkeyPatch) -> None:
    await engine(monkeypatch, Shape(AlreadyExists("ended")), Shape()).start_workflow(START)


async def test_a_task_starts_without_search_attributes_nobody_registered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = AttributesUnknown("no mapping defined for search attribute TaskgateTenant")
    activities = Shape(unknown)
    made = engine(monkeypatch, activities, Shape())
    with caplog.at_level(logging.WARNING):
        await made.start_workflow(START)
        activities.errors.append(unknown)
        await made.start_workflow(START)
    assert activities.attributes == [True, False, True, False]
    assert len([one for one in caplog.records if one.name.startswith("backends.")]) == 1


async def test_a_refusal_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StartRefused):
        await engine(monkeypatch, Shape(StartRefused("too large")), Shape()).start_workflow(START)


async def test_an_unregistered_attribute_is_no_reason_to_refuse_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Shape(AttributesUnknown("search attribute"), StartRefused("too large"))
    with pytest.raises(StartRefused, match="too large"):
        await engine(monkeypatch, refused, Shape()).start_workflow(START)
