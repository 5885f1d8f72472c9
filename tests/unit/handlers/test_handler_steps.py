"""The steps of the handlers against a recorded context: order, progress, memory, bad payloads."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from workers.handlers.add_episode import AddEpisodeHandler
from workers.handlers.base import TaskHandler
from workers.handlers.deduplicate_entities import DeduplicateEntitiesHandler
from workers.handlers.episode_steps import EpisodeStep
from workers.handlers.incremental_refresh import IncrementalRefreshHandler
from workers.handlers.payload import InvalidPayload
from workers.handlers.rebuild_communities import RebuildCommunitiesHandler

PAYLOAD = {
    "task_id": "t1",
    "group_id": "g1",
    "name": "Title",
    "content": "Alice works at Acme.",
    "source_description": "User input",
    "episode_type": "text",
    "uuid": "e1",
    "tenant_id": "acme",
    "project_id": "g1",
    "user_id": "u1",
    "memory_id": "e1",
}


class Graphiti:
    """A client that records; not the one that workers build."""

    def __init__(self, trail: list[Any], added: Any = None) -> None:
        self.trail = trail
        self.added = added or SimpleNamespace(nodes=[], edges=[])
        self.driver = SimpleNamespace(execute_query=self.execute_query)
        self.llm_client = self.embedder = self.max_coroutines = None

    async def execute_query(self, query: str, **parameters: Any) -> Any:
        if "'Synced'" in query:
            self.trail.append(("synced", parameters["uuid"], parameters["owner"]))
        return SimpleNamespace(records=[])

    async def add_episode(self, **arguments: Any) -> Any:
        self.trail.append(("add_episode", arguments["uuid"], arguments["entity_types"]))
        if isinstance(self.added, BaseException):
            raise self.added
        return self.added


class Context:
    """Records what a handler reports."""

    def __init__(self, added: Any = None) -> None:
        self.trail: list[Any] = []
        self._graphiti_client = Graphiti(self.trail, added)

    async def _schema_loader(self, project_id: str) -> tuple[Any, Any, Any]:
        self.trail.append(("schema", project_id))
        return {"Person": object}, None, None

    async def _update_task_log(self, task_id: str, status: str, **report: Any) -> None:
        self.trail.append((report["progress"], status))

    async def _update_memory_status(self, memory_id: str, status: Any) -> None:
        self.trail.append(("memory", status))

    async def _sync_schema_from_graph_result(self, nodes: Any, edges: Any, project_id: str) -> None:
        self.trail.append(("sync", project_id))

    async def rebuild_communities(self, task_group_id: str = "global") -> str:
        return f"task for {task_group_id}"


async def test_add_episode_goes_through_its_steps_in_order() -> None:
    context = Context()
    await AddEpisodeHandler().process(PAYLOAD, context)

    assert context.trail == [
        ("memory", "PROCESSING"),
        (10, "PROCESSING"),
        (20, "PROCESSING"),
        ("schema", "g1"),
        (30, "PROCESSING"),
        ("add_episode", "e1", {"Person": object}),
        (50, "PROCESSING"),
        ("sync", "g1"),
        ("synced", "e1", {"tenant_id": "acme", "project_id": "g1", "user_id": "u1"}),
        (75, "PROCESSING"),
        (100, "PROCESSING"),
        ("memory", "COMPLETED"),
    ]


async def test_add_episode_without_project_memory_or_task() -> None:
    context = Context()
    payload = {"group_id": "g1", "content": "Alice.", "uuid": "e1"}
    await AddEpisodeHandler().process(payload, context)

    assert context.trail == [("add_episode", "e1", None), ("synced", "e1", {})]


@pytest.mark.parametrize("error", [RuntimeError("the model is away"), asyncio.CancelledError()])
async def test_a_memory_is_never_left_processing(error: BaseException) -> None:
    context = Context(error)
    with pytest.raises(type(error)):
        await AddEpisodeHandler().process(PAYLOAD, context)

    assert context.trail[-1] == ("memory", "FAILED")


@pytest.mark.parametrize("reason", ["drain", "fenced"])
async def test_a_memory_of_a_task_that_runs_again_elsewhere_has_not_failed(reason: str) -> None:
    context = Context(asyncio.CancelledError(reason))
    with pytest.raises(asyncio.CancelledError):
        await AddEpisodeHandler().process(PAYLOAD, context)

    assert ("memory", "FAILED") not in context.trail


class Interrupted(EpisodeStep):
    """A step that does not come to its end."""

    name = "interrupted"

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def work(self, episode: dict[str, Any], payload: dict[str, Any], context: Any) -> dict[str, Any]:
        raise self._error


@pytest.mark.parametrize(
    ("error", "marked"),
    [
        (RuntimeError("the model is away"), True),
        (asyncio.CancelledError(), True),
        (asyncio.CancelledError("stopped"), True),
        (asyncio.CancelledError("timeout"), True),
        (asyncio.CancelledError("drain"), False),
        (asyncio.CancelledError("fenced"), False),
    ],
)
async def test_a_step_leaves_no_memory_processing(error: BaseException, marked: bool) -> None:
    context = Context()

    async def parent(task_id: str) -> dict[str, Any]:
        return {**PAYLOAD, "content": "Alice.", "memory_id": "m1"}

    context._task_of_parent = parent  # type: ignore[attr-defined]
    with pytest.raises(type(error)):
        await Interrupted(error).process({"task_id": "t1"}, context)

    assert (("memory", "FAILED") in context.trail) is marked


async def test_a_failing_community_update_is_only_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: Any) -> int:
        raise RuntimeError("no communities today")

    monkeypatch.setattr("workers.handlers.add_episode.update_communities", fail)
    context = Context()
    await AddEpisodeHandler().process(PAYLOAD, context)

    assert context.trail[-1] == ("memory", "COMPLETED")
    assert "no communities today" in caplog.text


@pytest.mark.parametrize(
    ("handler", "payload", "message"),
    [
        (AddEpisodeHandler(), {"content": "x", "uuid": "e1"}, "group_id is required"),
        (AddEpisodeHandler(), {"content": "x", "group_id": "g1"}, "task_id is required"),
        (AddEpisodeHandler(), {**PAYLOAD, "episode_type": "opera"}, "episode_type is 'opera'"),
        (RebuildCommunitiesHandler(), {"group_id": "g1"}, "task_group_id is required"),
        (IncrementalRefreshHandler(), {}, "group_id is required"),
        (IncrementalRefreshHandler(), {"group_id": "g1", "episode_uuids": "e1"}, "must be a list"),
        (DeduplicateEntitiesHandler(), {}, "group_id is required"),
        (DeduplicateEntitiesHandler(), {"group_id": "g1", "similarity_threshold": "high"}, "a number from 0 to 1"),
        (DeduplicateEntitiesHandler(), {"group_id": "g1", "similarity_threshold": 1.5}, "a number from 0 to 1"),
    ],
)
async def test_a_bad_payload_is_refused_once_and_for_all(
    handler: TaskHandler, payload: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidPayload, match=message) as refused:
        await handler.process(payload, Context())

    assert refused.value.non_retryable
