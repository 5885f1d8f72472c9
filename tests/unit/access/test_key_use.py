"""`last_used_at` is written for many requests at once, and not lost at the end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from gateway.access.key_use import KeyUse
from gateway.errors import DatabaseUnavailable


class FakeDatabase:
    def __init__(self) -> None:
        self.writes: list[dict[str, datetime]] = []
        self.away = False
        self.written = asyncio.Event()

    async def execute(self, sql: str, ids: list[str], times: list[datetime]) -> Any:
        if self.away:
            raise DatabaseUnavailable
        self.writes.append(dict(zip(ids, times, strict=True)))
        self.written.set()


async def test_uses_are_gathered() -> None:
    database, before = FakeDatabase(), datetime.now(UTC)
    use = KeyUse(database, pause=0.01)  # type: ignore[arg-type]
    for key_id in ["a", "b", "a", "a"]:
        use.note(key_id)
    await asyncio.wait_for(database.written.wait(), 5)
    assert [set(write) for write in database.writes] == [{"a", "b"}]
    assert all(before <= at <= datetime.now(UTC) for at in database.writes[0].values())
    await use.close()
    assert len(database.writes) == 1


async def test_close_writes_what_is_left() -> None:
    database = FakeDatabase()
    use = KeyUse(database, pause=3600)  # type: ignore[arg-type]
    use.note("a")
    await use.close()
    assert [set(write) for write in database.writes] == [{"a"}]


async def test_an_absent_database_costs_the_note_only() -> None:
    database = FakeDatabase()
    database.away = True
    use = KeyUse(database, pause=3600)  # type: ignore[arg-type]
    use.note("a")
    await use.close()
    assert database.writes == []
