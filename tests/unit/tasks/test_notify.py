"""The notifier gathers ids, keeps payloads under PostgreSQL's limit, and never stands in the way of its caller."""

import asyncio
from typing import Any

import pytest

from gateway.errors import DatabaseUnavailable
from gateway.tasks.changes.notifier import CHANGES_CHANNEL, Notifier, pack, unpack


class RecordingDatabase:
    """Keeps the payloads; can be held up, and can be away."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.called = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False

    async def execute(self, query: str, *args: Any) -> str:
        channel, payloads = args
        assert channel == CHANGES_CHANNEL
        self.calls.append(payloads)
        self.called.set()
        await self.gate.wait()
        if self.away:
            raise DatabaseUnavailable
        return "SELECT"

    @property
    def ids(self) -> list[str]:
        return [i for call in self.calls for payload in call for i in unpack(payload)]


@pytest.fixture
def database() -> RecordingDatabase:
    return RecordingDatabase()


def make(database: RecordingDatabase, pause: float = 0.005) -> Notifier:
    return Notifier(database, pause=pause)  # type: ignore[arg-type]


async def test_a_single_change_is_announced_at_once(database: RecordingDatabase) -> None:
    notifier = make(database, pause=60)
    notifier.changed("a")
    await asyncio.wait_for(database.called.wait(), 5)
    assert database.ids == ["a"]
    await notifier.close()


async def test_changes_during_an_announcement_share_the_next_one(database: RecordingDatabase) -> None:
    notifier = make(database)
    database.gate.clear()
    notifier.changed("first")
    await asyncio.wait_for(database.called.wait(), 5)
    for number in range(100):
        notifier.changed(f"task-{number}")
        notifier.changed(f"task-{number}")
    database.gate.set()
    await notifier.flush()
    assert len(database.calls) == 2
    assert database.ids == ["first", *(f"task-{n}" for n in range(100))]
    await notifier.close()


async def test_flush_waits_for_an_announcement_under_way(database: RecordingDatabase) -> None:
    notifier = make(database)
    database.gate.clear()
    notifier.changed("a")
    await asyncio.wait_for(database.called.wait(), 5)
    flushing = asyncio.ensure_future(notifier.flush())
    await asyncio.sleep(0)
    assert not flushing.done()
    database.gate.set()
    await flushing
    await notifier.close()


async def test_close_announces_what_is_left(database: RecordingDatabase) -> None:
    notifier = make(database, pause=60)
    notifier.changed("a")
    await asyncio.wait_for(database.called.wait(), 5)
    notifier.changed("b")
    await notifier.close()
    assert database.ids == ["a", "b"]


async def test_goes_on_after_postgresql_was_away(database: RecordingDatabase, caplog: pytest.LogCaptureFixture) -> None:
    notifier = make(database)
    database.away = True
    notifier.changed("lost")
    await notifier.flush()
    assert "not announced" in caplog.text
    database.away = False
    notifier.changed("kept")
    await notifier.flush()
    assert database.ids[-1] == "kept"
    await notifier.close()


def test_payloads_stay_under_the_limit_and_lose_nothing() -> None:
    ids = [f"{number:036d}" for number in range(1000)]
    payloads = pack(ids)
    assert all(len(payload.encode()) <= 7900 for payload in payloads)
    assert [i for payload in payloads for i in unpack(payload)] == ids
    assert len(payloads) == 5


def test_a_payload_may_be_exactly_full() -> None:
    assert pack(["abc", "def"], largest=7) == ["abc,def"]
    assert pack(["abc", "def"], largest=6) == ["abc", "def"]


def test_ids_that_cannot_travel_are_left_out() -> None:
    assert pack(["ok", "with,comma", "nul\x00", "\ud800", "", "x" * 8000, "ü" * 3951]) == ["ok"]
