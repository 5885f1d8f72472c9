"""Another definition for a schedule: the same over HTTP and gRPC."""

from __future__ import annotations

from collections.abc import Callable

from gateway.access.placement import Caller
from gateway.errors import InvalidRequest
from gateway.schedules.definition import ScheduleDefinition
from gateway.schedules.placing import Prepare, placed
from gateway.schedules.schedule import Schedule
from gateway.schedules.schedules import Schedules


async def redefine(
    schedules: Schedules,
    schedule_id: str,
    caller: Caller,
    change: Callable[[ScheduleDefinition], ScheduleDefinition],
    prepare: Prepare | None,
) -> Schedule:
    """Change a definition; `prepare` is given when the action is a new one, on whose author's behalf it then submits.

    Raises `InvalidRequest`, also for an action of another tenant; `ScheduleChanged`, and what `prepare` raises.
    """
    schedule = await schedules.get(schedule_id, caller)
    if prepare is None:
        return await schedules.change(schedule_id, caller, change)

    def change_placed(before: ScheduleDefinition) -> ScheduleDefinition:
        return placed(change(before), caller.only)

    _, task = await prepare(change_placed(schedule.definition).action)
    if task.placement.tenant_id != schedule.tenant_id:
        raise InvalidRequest("The tenant of a schedule cannot be changed.", field="action.tenant_id")
    author = (caller.user_id, task.placement.project_id)
    return await schedules.change(schedule_id, caller, change_placed, author=author)
