"""A list of plans reads no documents."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.migration.plans import checking

World = Any
PLAN = """\
name: {}
why: the move
bake: 2h
waves:
- {{name: pilot, tenants: [{}]}}
- {{tasks_percent: 5, stage: rampdown}}
"""


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read of documents, all of it in a child."""
    asked: list[str] = []
    check_apart = checking.check_apart

    async def noting(sandbox: Any, refusal: Any, function: Any, *args: Any) -> Any:
        asked.append(function.__name__)
        return await check_apart(sandbox, refusal, function, *args)

    monkeypatch.setattr(checking, "check_apart", noting)
    return asked


async def test_a_list_shows_why_and_waves_and_parses_nothing(world: World, parsed: list[str]) -> None:
    for name, tenant in (("one", "acme"), ("two", "globex")):
        await world.write(PLAN.format(name, tenant))
    await world.act("start", "one")
    parsed.clear()
    two, one = await world.plans.list()
    assert parsed == []
    assert (one["name"], one["state"], one["why"]) == ("one", "running", "the move")
    assert [
        (wave["name"], wave["stage"], wave["bake_seconds"], wave["tasks_percent"], wave["tenants"])
        for wave in one["waves"]
    ] == [
        ("pilot", "live", 7200.0, None, 1),
        (None, "rampdown", 7200.0, 5.0, 0),
    ]
    assert one["waves"] == (await world.plan("one"))["waves"]
    assert [wave["tenants"] for wave in two["waves"]] == [0, 0]


async def test_a_plan_of_a_gateway_that_knows_no_summaries_is_read(world: World, parsed: list[str]) -> None:
    await world.write(PLAN.format("one", "acme"))
    [before] = await world.plans.list()
    await world.database.execute("UPDATE taskgate.plan SET summary = NULL")
    parsed.clear()
    assert await world.plans.list() == [before]
    assert parsed == ["_plan"]
    assert await world.plans.list() == [before]
    assert parsed == ["_plan"]  # it is remembered
