"""Durations are compared once, at a size that was fixed beforehand."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.access.placement import Caller
from gateway.errors import InvalidRequest, TenantNotFound
from gateway.migration.parity.gate import Gate, GateFixed, ParityExtraMissing
from gateway.migration.parity.parity import Parity
from gateway.routing.router import Router
from gateway.routing.stages import REDIS, TEMPORAL, Stage
from gateway.routing.testing import StaticFlags
from gateway.storage.database import Database

ROOT = Caller("root", "k", True, frozenset())
Ask = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def ask(database: Database) -> Ask:
    router = Router(StaticFlags(Stage.LIVE), None, frozenset({REDIS, TEMPORAL}))
    gate = Gate(database, Parity(database, router, days=14))

    async def answer(samples: int = 100, tenant_id: str = "acme", caller: Caller = ROOT) -> dict[str, Any]:
        return await gate.ask(caller, tenant_id, "probe", samples)

    return answer


async def test_longer_runs_do_not_pass(history: Any, ask: Ask) -> None:
    await history.ended(200, hours_ago=2, seconds=1.0)
    await history.flip("off", "live", hours_ago=1)
    await history.ended(200, backend="temporal", hours_ago=0.5, seconds=2.0)
    answer = await ask()
    assert answer["verdict"] == "regress"
    run, wait, total = answer["measures"]
    assert (run["name"], run["longer"]) == ("run", 1.0)
    assert (run["before"], run["since"]) == (pytest.approx(1, abs=0.01), pytest.approx(2, abs=0.01))
    assert (wait["longer"], total["longer"]) == (pytest.approx(0.5, abs=0.1), 1.0)
    assert answer["reasons"][0].startswith("probe: run time is longer on temporal in 100% of all pairs")


async def test_the_same_runs_pass(history: Any, ask: Ask) -> None:
    await history.ended(200, hours_ago=2)
    await history.flip("off", "live", hours_ago=1)
    await history.ended(200, backend="temporal", hours_ago=0.5)
    assert (await ask())["verdict"] == "pass"


async def test_too_few_are_not_looked_at(history: Any, ask: Ask) -> None:
    await history.ended(200, hours_ago=2)
    await history.flip("off", "live", hours_ago=1)
    assert (await ask())["verdict"] == "no_data"
    await history.ended(60, backend="temporal", hours_ago=0.5, seconds=9.0)
    answer = await ask()
    assert (answer["verdict"], answer["measures"]) == ("inconclusive", [])
    assert answer["reasons"] == [
        "probe: 60 of 100 tasks have completed on temporal since the move; ask again when there are 100"
    ]


async def test_the_answer_is_given_once(history: Any, ask: Ask) -> None:
    """Later tasks do not change it, and another number is a second look."""
    await history.ended(200, hours_ago=2)
    await history.flip("off", "live", hours_ago=1)
    await history.ended(100, backend="temporal", hours_ago=0.5)
    answers = await asyncio.gather(*(ask() for _ in range(4)))
    await history.ended(100, backend="temporal", hours_ago=0.8, seconds=60.0)
    assert [await ask()] * 4 == answers
    with pytest.raises(GateFixed, match="fixed at 100 samples: ask for 100"):
        await ask(200)
    await history.flip("live", "off", hours_ago=0.3)
    await history.flip("off", "live", hours_ago=0.2)
    assert (await ask(50))["verdict"] == "no_data"


async def test_without_a_past_or_a_move_there_is_nothing_to_compare(history: Any, ask: Ask) -> None:
    assert (await ask())["reasons"] == ["acme never ran on temporal: there is nothing to compare"]
    await history.flip("off", "live", hours_ago=1)
    await history.ended(100, backend="temporal", hours_ago=0.5)
    answer = await ask()
    assert (answer["verdict"], answer["reasons"]) == (
        "no_data",
        ["probe: only 0 of 100 tasks completed on redis in the day before the move; nothing to compare with"],
    )


async def test_bad_input(history: Any, ask: Ask) -> None:
    for samples in (0, 19, 10_001):
        with pytest.raises(InvalidRequest, match="from 20 to 10000"):
            await ask(samples)
    with pytest.raises(TenantNotFound):
        await ask(tenant_id="acme", caller=Caller("v", "k", False, frozenset({"globex"})))


async def test_without_the_extra_one_line_says_what_to_install(
    history: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(ParityExtraMissing, match=r"pip install 'taskgate\[parity\]'"):
        await ask()
