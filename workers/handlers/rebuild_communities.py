"""`rebuild_communities`: the communities of a group, found anew."""

from __future__ import annotations

from typing import Any

from gateway.graph.duplicates import ALL_GROUPS
from workers.graph import communities
from workers.handlers.base import TaskContext, TaskHandler
from workers.handlers.graph_access import exclusive, open_graph
from workers.handlers.payload import group_ids
from workers.handlers.report import StepReport


class RebuildCommunitiesHandler(TaskHandler):
    """Removes a group's communities, detects them anew, names, embeds and saves them (contract §7).

    The groups are those of `group_ids`, else `task_group_id`, one after the other; `global` means every group. The
    result is `{communities_count, edges_count}`. Repeated, it begins again.
    """

    @property
    def task_type(self) -> str:
        return "rebuild_communities"

    @property
    def timeout_seconds(self) -> int:
        return 3600

    async def process(self, payload: dict[str, Any], context: TaskContext) -> None:
        """Raises `InvalidPayload`, and what graphiti, the language model or the graph raise."""
        report = StepReport(payload, context)
        groups = group_ids(payload, "task_group_id")
        graphiti = await open_graph(context)
        if groups == [ALL_GROUPS]:
            groups = await communities.list_groups(graphiti.driver)
        found = members = 0
        for position, group_id in enumerate(groups):
            steps = _Steps(report, position, len(groups))
            async with exclusive(graphiti, group_id):
                nodes, edges = await self._rebuild(graphiti, group_id, steps)
            found, members = found + nodes, members + edges
        await report.step(
            100,
            "Community rebuild completed successfully",
            {"communities_count": found, "edges_count": members},
        )

    async def _rebuild(self, graphiti: Any, group_id: str, steps: _Steps) -> tuple[int, int]:
        driver = graphiti.driver
        await steps.step(10, "Removing existing communities...")
        await communities.remove_communities(driver, group_id)
        await steps.step(30, "Detecting communities...")
        clusters = await communities.find_clusters(driver, group_id)
        nodes, edges = await communities.describe_clusters(graphiti, clusters)
        await steps.step(50, f"Found {len(nodes)} communities. Generating embeddings...")
        await communities.save_communities(graphiti, nodes)
        await steps.step(75, "Saving community relationships...")
        await communities.save_members(driver, edges)
        await steps.step(90, "Calculating member counts...")
        await communities.finish_communities(driver, group_id, [node.uuid for node in nodes])
        return len(nodes), len(edges)


class _Steps:
    """The steps of one group among several: progress never goes back."""

    def __init__(self, report: StepReport, position: int, groups: int) -> None:
        self._report = report
        self._position = position
        self._groups = groups

    async def step(self, progress: int, message: str) -> None:
        if self._groups > 1:
            progress = (100 * self._position + progress) // self._groups
            message = f"Group {self._position + 1} of {self._groups}: {message}"
        await self._report.step(progress, message)
