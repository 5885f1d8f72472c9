"""Lookups asked at the same moment travel together, and each gets its own answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.access.batched_lookup import BatchedLookups, Lookup
from gateway.errors import DatabaseUnavailable


class FakeDatabase:
    """Answers each lookup with its own key hash, once `go` is set."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = asyncio.Event()
        self.asked = asyncio.Semaphore(0)
        self.error: dict[str, Exception] = {}

    async def fetch(self, sql: str, hashes: list[str], *_: Any) -> list[str]:
        self.batches.append(hashes)
        self.asked.release()
        await self.go.wait()
        for key_hash in hashes:
            if key_hash in self.error:
                raise self.error[key_hash]
        return hashes


async def test_one_question_goes_out_at_once_and_alone() -> None:
    database = FakeDatabase()
    database.go.set()
    lookups = BatchedLookups(database)  # type: ignore[arg-type]
    assert await lookups.ask(Lookup(key_hash="a")) == "a"
    assert await lookups.ask(Lookup(key_hash="b")) == "b"
    assert database.batches == [["a"], ["b"]]


async def test_lookups_that_wait_share_a_statement() -> None:
    database = FakeDatabase()
    lookups = BatchedLookups(database)  # type: ignore[arg-type]
    first = asyncio.create_task(lookups.ask(Lookup(key_hash="first")))
    await database.asked.acquire()
    rest = [asyncio.create_task(lookups.ask(Lookup(key_hash=str(n)))) for n in range(20)]
    await asyncio.sleep(0)
    assert database.batches == [["first"]]
    database.go.set()
    assert await asyncio.gather(first, *rest) == ["first", *(str(n) for n in range(20))]
    assert [len(batch) for batch in database.batches] == [1, 20]


async def test_a_question_is_never_answered_by_an_earlier_statement() -> None:
    database = FakeDatabase()
    lookups = BatchedLookups(database)  # type: ignore[arg-type]
    before = asyncio.create_task(lookups.ask(Lookup(key_hash="k")))
    await database.asked.acquire()
    after = asyncio.create_task(lookups.ask(Lookup(key_hash="k")))
    await asyncio.sleep(0)
    database.go.set()
    await asyncio.gather(before, after)
    assert database.batches == [["k"], ["k"]]


async def test_one_refused_question_does_not_spoil_the_others() -> None:
    database = FakeDatabase()
    database.error["bad"] = ValueError("refused")
    lookups = BatchedLookups(database)  # type: ignore[arg-type]
    blocker = asyncio.create_task(lookups.ask(Lookup(key_hash="blocker")))
    await database.asked.acquire()
    asked = [asyncio.create_task(lookups.ask(Lookup(key_hash=name))) for name in ("good", "bad", "fine")]
    await asyncio.sleep(0)
    database.go.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert answers[0] == "good"
    assert isinstance(answers[1], ValueError)
    assert answers[2] == "fine"
    await blocker


async def test_an_absent_database_is_told_to_everybody_without_asking_again() -> None:
    database = FakeDatabase()
    database.go.set()
    database.error["a"] = DatabaseUnavailable()
    lookups = BatchedLookups(database)  # type: ignore[arg-type]
    answers = await asyncio.gather(
        lookups.ask(Lookup(key_hash="a")), lookups.ask(Lookup(key_hash="a")), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 2
    database.error.clear()
    assert await lookups.ask(Lookup(key_hash="a")) == "a"


async def test_who_leaves_does_not_disturb_who_stays() -> None:
    database = FakeDatabase()
    lookups = BatchedLookups(database)  # type: ignore[arg-type]
    leaves = asyncio.create_task(lookups.ask(Lookup(key_hash="leaves")))
    stays = asyncio.create_task(lookups.ask(Lookup(key_hash="stays")))
    await database.asked.acquire()
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    database.go.set()
    assert await stays == "stays"


async def test_no_question_is_left_when_the_last_statement_ends() -> None:
    database = FakeDatabase()
    database.go.set()
    lookups = BatchedLookups(database)  # type: ignore[arg-type]

    async def ask_on(name: str) -> None:
        for n in range(200):
            assert await asyncio.wait_for(lookups.ask(Lookup(key_hash=f"{name}{n}")), 5) == f"{name}{n}"

    await asyncio.gather(*(ask_on(name) for name in "abcdef"))


async def test_with_a_pause_those_that_come_meanwhile_share_the_next_statement() -> None:
    database = FakeDatabase()
    database.go.set()
    lookups = BatchedLookups(database, pause=0.2)  # type: ignore[arg-type]
    began = asyncio.get_running_loop().time()
    assert await lookups.ask(Lookup(key_hash="first")) == "first"
    names = [str(n) for n in range(300)]
    assert await asyncio.gather(*(lookups.ask(Lookup(key_hash=name)) for name in names)) == names
    assert [len(batch) for batch in database.batches] == [1, 200, 100]
    assert asyncio.get_running_loop().time() - began >= 0.4
