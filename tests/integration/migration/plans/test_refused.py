"""LaunchDarkly can be read, but does not take a plan's change: a rollback does not wait for it, a step forward does."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.migration.flags.errors import FlagStoreRefuses, FlagUnsound
from gateway.routing.errors import FlagVersionStale
from tests.integration.migration.plans.elsewhere import Elsewhere, overrides, targets
from workers.testing.waiting import until

World = Any
PLAN = "name: spring\nwhy: w\nbake: '0'\nwaves: [{tenants: [acme]}, {tenants: [globex]}]\n"
NO_TOKEN = "LaunchDarkly does not let the API token do this (401: Invalid access token)"


async def moved(world: World) -> None:
    """The plan is over, and the flag in force here has its tenants."""
    await world.write(PLAN)
    await world.act("start")
    await world.until("done", minutes=1)
    await until(lambda: len(targets(world)) == 2)


async def is_folded_back(world: World) -> None:
    """The flag takes over once it can be changed."""
    await world.tick(2, minutes=1)
    await until(lambda: not targets(world))
    await world.until("aborted", minutes=1)
    assert (await world.settings(), await overrides(world)) == ({}, [])


async def test_a_rollback_does_not_wait_for_a_flag_whose_change_is_refused(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = elsewhere
    await moved(world)
    monkeypatch.setattr(Elsewhere, "refuses", FlagStoreRefuses(NO_TOKEN))
    await world.act("rollback")
    await world.tick()
    assert await overrides(world) == [("acme", "off", "taskgate plan"), ("globex", "off", "taskgate plan")]
    # Whoever looks after it is told why: by the plan, by the entry behind each task, and in the log.
    assert (await world.plan())["says"] == NO_TOKEN
    whys = await world.database.fetch("SELECT DISTINCT why FROM taskgate.ledger WHERE source = 'override'")
    why = f"plan spring is rolled back by override, the flag cannot be changed: {NO_TOKEN}"
    assert [row["why"] for row in whys] == [why]
    assert caplog.text.count(f"{why} (2 tenants)") == 1
    await world.tick(3, minutes=1)
    assert caplog.text.count(why) == 1
    monkeypatch.setattr(Elsewhere, "refuses", None)
    await is_folded_back(world)


async def test_a_rollback_does_not_wait_for_a_flag_that_may_not_even_be_read_or_is_broken(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await moved(world)

    async def held(self: Elsewhere) -> Any:
        raise FlagStoreRefuses(NO_TOKEN)

    with monkeypatch.context() as refusing:
        refusing.setattr(Elsewhere, "held", held)
        await world.act("rollback")
        await world.tick()
        assert ((await world.plan())["says"], len(await overrides(world))) == (NO_TOKEN, 2)
    await is_folded_back(world)


async def test_a_rollback_does_not_wait_for_a_flag_that_is_not_sound(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await moved(world)
    monkeypatch.setattr(Elsewhere, "refuses", FlagUnsound("LaunchDarkly's flag is not a sound migration flag"))
    await world.act("rollback")
    await world.tick()
    assert len(await overrides(world)) == 2


async def test_a_rollback_reads_a_flag_anew_that_others_change_and_does_not_wait_when_they_go_on(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await moved(world)
    monkeypatch.setattr(Elsewhere, "refuses", FlagVersionStale)
    monkeypatch.setattr(Elsewhere, "tries", 0)
    await world.act("rollback")
    await world.tick()
    assert (Elsewhere.tries, len(await overrides(world))) == (3, 2)
    says = (await world.plan())["says"]
    assert says.startswith("others change the flag each time that it is to be changed: the flag has version ")
    await world.tick(3)
    assert Elsewhere.tries == 3, "it rests"
    monkeypatch.setattr(Elsewhere, "refuses", None)
    await world.tick(minutes=1)
    await is_folded_back(world)


@pytest.mark.parametrize("answer", [FlagStoreRefuses(NO_TOKEN), FlagUnsound("LaunchDarkly's flag is not sound")])
async def test_a_step_forward_waits_for_a_flag_whose_change_is_refused_and_says_why(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    monkeypatch.setattr(Elsewhere, "refuses", answer)
    held = await world.until("held", minutes=1)
    await world.tick(3, minutes=1)
    assert (held["says"], await overrides(world)) == (answer.message, [])
    monkeypatch.setattr(Elsewhere, "refuses", None)
    await world.until("done", minutes=1)
