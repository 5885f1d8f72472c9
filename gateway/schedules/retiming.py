"""Computes stored next times again, because each release of tzdata changes the rules of some time zones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from gateway.schedules.schedule import Schedule
from gateway.storage.database import Database
from gateway.storage.queries import Queries

log = logging.getLogger(__name__)
SQL = Queries("gateway.schedules", "schedules.sql")

#: Schedules that are read at once.
PAGE = 500


async def retime_all(database: Database) -> None:
    """Update every schedule whose next time, or its firing, differs by the present rules.

    Raises `DatabaseUnavailable`.
    """
    after = ""
    while rows := await database.fetch(SQL.timed, after, PAGE):
        after = rows[-1]["schedule_id"]
        for moved in await asyncio.to_thread(_moved, rows):
            log.info("the next time of schedule %s is %s by its zone's present rules", moved.schedule_id, moved.next_at)
            await database.execute(SQL.retime, moved.schedule_id, moved.revision, moved.next_at, moved.fire_at)


def _moved(rows: Sequence[Any]) -> list[Schedule]:
    found = []
    for row in rows:
        try:
            schedule = Schedule.of_row(row)
            retimed = schedule.retimed()
        except Exception as error:  # noqa: BLE001 (one that cannot be read stands in nobody's way)
            log.warning("schedule %s cannot be timed anew: %s", row["schedule_id"], type(error).__name__)
            continue
        if (retimed.next_at, retimed.fire_at) != (schedule.next_at, schedule.fire_at):
            found.append(retimed)
    return found
