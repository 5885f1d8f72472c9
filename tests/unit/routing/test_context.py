"""What LaunchDarkly is told of a task."""

from __future__ import annotations

import pytest

from gateway.routing.flag_context import context_of
from gateway.routing.query import RouteQuery


def test_the_context_names_tenant_project_and_task() -> None:
    context = context_of(RouteQuery("acme", "add_episode", "task-1", "p1", plan="enterprise"))
    assert context.fully_qualified_key == "project:p1:task:task-1:tenant:acme"
    tenant, task = context.get_individual_context("tenant"), context.get_individual_context("task")
    assert tenant is not None
    assert task is not None
    assert (tenant.get("tier"), tenant.get("plan"), task.get("type")) == ("enterprise", "enterprise", "add_episode")
    assert task.anonymous


@pytest.mark.parametrize(
    "query",
    [
        RouteQuery(None, "x", plan=None),
        RouteQuery("", "x", "", "", plan=None),
        RouteQuery("ä:/%", "\u2028", "x" * 5000, plan=None),
    ],
)
def test_whatever_a_task_is_called_the_context_is_valid(query: RouteQuery) -> None:
    assert context_of(query).valid
