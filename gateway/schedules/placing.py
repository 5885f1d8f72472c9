"""Keeps the tasks of a schedule where the key is for with which its action was given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.access.placement import Caller, Only
from gateway.schedules.definition import ScheduleDefinition
from gateway.submission.new_task import NewTask
from gateway.submission.requests import TaskSubmission

#: Checks an action by the caller's rights, as if it were submitted now.
Prepare = Callable[[TaskSubmission], Awaitable[tuple[Caller, NewTask]]]


def placed(definition: ScheduleDefinition, only: Only | None) -> ScheduleDefinition:
    """The definition, whose action names the tenant of a key for one tenant unless it names a place itself.

    Firings have the rights of the user: without a name they would go to the user's own tenant, and those of an
    administrator to all groups.
    """
    action = definition.action
    if only is None or action.project_id is not None or action.tenant_id is not None:
        return definition
    named = action.model_copy(update={"tenant_id": only.tenant_id})
    return definition.model_copy(update={"action": named})


async def prepare_placed(
    definition: ScheduleDefinition, prepare: Prepare
) -> tuple[ScheduleDefinition, Caller, NewTask]:
    """The definition as it is to be kept, its caller, and the task that it would submit now.

    Raises what `prepare` raises.
    """
    caller, task = await prepare(definition.action)
    kept = placed(definition, caller.only)
    if kept is not definition:
        caller, task = await prepare(kept.action)
    return kept, caller, task
