"""The context of §7: what it passes on, and what it keeps from a handler."""

from __future__ import annotations

from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import DatabaseUnavailable
from gateway.settings import Settings
from workers.context import ContextFactory, WorkerContext


class Database:
    """Records statements; fails when told to."""

    def __init__(self, error: Exception | None = None, done: str = "UPDATE 1") -> None:
        self.error = error
        self.done = done
        self.statements: list[tuple[Any, ...]] = []

    async def fetch(self, query: str, /, *args: Any) -> list[dict[str, Any]]:
        return []

    async def execute(self, query: str, /, *args: Any) -> str:
        if self.error is not None:
            raise self.error
        self.statements.append(args)
        return self.done


class Sink:
    """Records reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, dict[str, Any]]] = []

    async def update(self, task_id: str, **report: Any) -> None:
        self.reports.append((task_id, report))


class Submitter:
    """Makes up ids."""

    async def submit_rebuild(self, task_group_id: str) -> str:
        return f"rebuild-{task_group_id}"


class ProcessingStatus(Enum):
    """As MemStack's own enum."""

    COMPLETED = "COMPLETED"


def build(database: Database, sink: Sink | None = None) -> WorkerContext:
    return ContextFactory(Settings(graph_url=None), database).build(sink or Sink(), Submitter())


async def test_reports_reach_the_sink_without_what_is_the_runners_to_write() -> None:
    sink = Sink()
    context = build(Database(), sink)
    await context._update_task_log("t1", "FAILED", "w1", "oops", True, 40, {"a": 1}, "half way")

    assert sink.reports == [
        ("t1", {"progress": 40, "result": {"a": 1}, "message": "half way", "increment_retry": True})
    ]


@pytest.mark.parametrize("status", ["COMPLETED", ProcessingStatus.COMPLETED])
async def test_a_memorys_status_may_be_text_or_enum(status: Any) -> None:
    database = Database()
    await build(database)._update_memory_status("m1", status)

    assert database.statements == [("m1", "COMPLETED")]


async def test_no_memory_no_statement() -> None:
    database = Database()
    await build(database)._update_memory_status("", "FAILED")

    assert database.statements == []


async def test_marks_and_schema_never_fail_a_task(caplog: pytest.LogCaptureFixture) -> None:
    context = build(Database(DatabaseUnavailable()))
    node = SimpleNamespace(uuid="n1", labels=["Entity", "Person"])
    await context._update_memory_status("m1", "FAILED")
    await context._sync_schema_from_graph_result([node], [], "p1")

    assert "memory m1 could not be marked FAILED" in caplog.text
    assert "schema of project p1 could not be completed" in caplog.text


async def test_a_memory_that_is_gone_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    await build(Database(done="UPDATE 0"))._update_memory_status("m1", "FAILED")

    assert "memory m1, to be marked FAILED, does not exist" in caplog.text


async def test_found_types_and_pairs_are_saved_once_each() -> None:
    database = Database()
    nodes = [
        SimpleNamespace(uuid="n1", labels=["Entity", "Person"]),
        SimpleNamespace(uuid="n2", labels=["Organization", "Entity"]),
        SimpleNamespace(uuid="n3", labels=["Entity"]),
    ]
    edges = [
        SimpleNamespace(name="WORKS_AT", source_node_uuid="n1", target_node_uuid="n2"),
        SimpleNamespace(name="WORKS_AT", source_node_uuid="n1", target_node_uuid="n2"),
        SimpleNamespace(name="NEAR", source_node_uuid="n3", target_node_uuid="elsewhere"),
    ]
    await build(database)._sync_schema_from_graph_result(nodes, edges, "p1")

    assert database.statements == [
        ("p1", ["Organization", "Person"]),
        ("p1", ["NEAR", "WORKS_AT"]),
        ("p1", ["Person"], ["Organization"], ["WORKS_AT"]),
    ]


async def test_a_rebuild_is_submitted() -> None:
    assert await build(Database()).rebuild_communities("g1") == "rebuild-g1"
    assert await build(Database()).rebuild_communities() == "rebuild-global"
