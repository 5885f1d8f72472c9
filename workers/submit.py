"""Submits tasks of handlers through the same intake; the gateway starts them."""

from __future__ import annotations

from collections.abc import Callable

from gateway.access.groups import covers_tenant, group_ids, groups_of_tenant, is_reserved
from gateway.access.placement import Placement
from gateway.dispatch.starter import Starter
from gateway.graph.duplicates import ALL_GROUPS
from gateway.storage.database import Database
from gateway.submission.deferring_dispatcher import DeferringDispatcher
from gateway.submission.intake import Intake
from gateway.submission.new_task import NewTask
from gateway.submission.start_plan import StartPlan
from gateway.tasks.lifecycle.claim import Claim


class NodeDispatcher(DeferringDispatcher):
    """The same for nodes of DAGs: dispatchers are notified in the transaction of the tasks, if that is necessary.

    `owner_id`: this process, while it has its lease.
    """

    def __init__(self, database: Database, starter: Starter, owner_id: Callable[[], str]) -> None:
        super().__init__(database)
        self._starter = starter
        self._owner_id = owner_id

    @property
    def owner_id(self) -> str:
        return self._owner_id()

    def begin(self, plan: StartPlan) -> None:
        self._starter.begin(plan)

    def wake(self) -> None:
        pass


class Submitter:
    """Submits tasks on behalf of the task that runs under `claim`, to its tenant."""

    def __init__(self, database: Database, intake: Intake, claim: Claim) -> None:
        self._db = database
        self._intake = intake
        self._claim = claim

    async def submit_rebuild(self, task_group_id: str) -> str:
        """A `rebuild_communities` task for the group; its id.

        `global` means all groups if the running task works on all groups itself, else all groups of its tenant.
        """
        claim = self._claim
        if task_group_id == ALL_GROUPS and not is_reserved(claim.group_id):
            task_group_id = claim.group_id
        covered = None
        if task_group_id == claim.group_id and covers_tenant("rebuild_communities", task_group_id, claim.project_id):
            covered = await groups_of_tenant(self._db, claim.tenant_id, task_group_id)
        task = NewTask(
            task_type="rebuild_communities",
            group_id=task_group_id,
            payload={"task_group_id": task_group_id, **group_ids(covered)},
            placement=Placement(claim.tenant_id, claim.project_id, plan=None),
            user_id=claim.user_id,
            entity_id=task_group_id,
            entity_type="group",
            parent_task_id=claim.task_id,
        )
        await self._intake.submit([task])
        return task.task_id
