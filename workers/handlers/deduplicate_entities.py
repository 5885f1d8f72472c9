"""`deduplicate_entities`: entities of a group with near-identical names become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.graph.duplicates import ALL_GROUPS, DuplicateGroup, find_duplicate_groups
from workers.graph.communities import list_groups
from workers.graph.merge import merge_group
from workers.handlers.base import TaskContext, TaskHandler
from workers.handlers.graph_access import exclusive, open_graph
from workers.handlers.payload import InvalidPayload, group_ids
from workers.handlers.report import StepReport

DEFAULT_THRESHOLD = 0.9
#: A result lists at most so many groups of duplicates; it counts them all.
LISTED_GROUPS = 100


class DeduplicateEntitiesHandler(TaskHandler):
    """Merges entities whose names are near-identical into the oldest of them (contract §7).

    Facts, mentions and memberships move to the survivor, and the duplicates are removed; with `dry_run` (which is the
    default) nothing is changed. The result is `{dry_run, duplicates_found, entities_merged, duplicate_groups}`, where
    `duplicates_found` counts groups of duplicates. It works on the graph's groups `group_ids`, else on `group_id`, each
    for itself; `global` means all of them, and then no duplicates are listed. Cut off and repeated, it goes on where it
    was.
    """

    @property
    def task_type(self) -> str:
        return "deduplicate_entities"

    @property
    def timeout_seconds(self) -> int:
        return 1800

    async def process(self, payload: dict[str, Any], context: TaskContext) -> None:
        """Raises `InvalidPayload`, and what the graph raises."""
        report = StepReport(payload, context)
        groups = group_ids(payload, "group_id")
        threshold = _threshold(payload)
        dry_run = bool(payload.get("dry_run", True))
        graphiti = await open_graph(context)

        await report.step(10, "Looking for duplicates...")
        is_everything = groups == [ALL_GROUPS]
        if is_everything:
            groups = await list_groups(graphiti.driver)
        found: list[DuplicateGroup] = []
        merged = 0
        for position, group_id in enumerate(groups):
            await report.step(20 + 70 * position // len(groups), f"Comparing group {position + 1} of {len(groups)}...")
            if dry_run:
                found += await find_duplicate_groups(graphiti.driver, [group_id], threshold)
                continue
            async with exclusive(graphiti, group_id):
                duplicates = await find_duplicate_groups(graphiti.driver, [group_id], threshold)
                found += duplicates
                merged += await _merge(graphiti.driver, duplicates)
        await report.step(
            100,
            f"Found {len(found)} groups of duplicates" if dry_run else f"Merged {merged} duplicate entities",
            {
                "dry_run": dry_run,
                "duplicates_found": len(found),
                "entities_merged": merged,
                "duplicate_groups": [
                    {"name": group.name, "count": group.count, "uuids": list(group.uuids)}
                    # Everybody in the administrator's tenant may read this, and these are names of other tenants.
                    for group in ([] if is_everything else found[:LISTED_GROUPS])
                ],
            },
        )


async def _merge(driver: Any, duplicates: Sequence[DuplicateGroup]) -> int:
    merged = 0
    for group in duplicates:
        merge = await merge_group(driver, group)
        merged += len(merge.removed) if merge is not None else 0
    return merged


def _threshold(payload: Mapping[str, Any]) -> float:
    value = payload.get("similarity_threshold", DEFAULT_THRESHOLD)
    value = DEFAULT_THRESHOLD if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidPayload("similarity_threshold must be a number from 0 to 1")
    return float(value)
