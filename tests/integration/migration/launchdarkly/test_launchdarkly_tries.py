"""A change that LaunchDarkly does not take is asked for again: the ledger has it once, with why."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.responses import JSONResponse

from gateway.audit.errors import LedgerUnwritable
from gateway.migration.flags.errors import FlagStoreRefuses, FlagStoreUnavailable
from gateway.migration.ledger.flips import flips_of_change
from gateway.migration.ledger.writer import append
from gateway.migration.stages.requests import MoveTenants
from gateway.migration.stages.service import StageService
from gateway.routing.flag_edit import new_flag, with_stage
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.storage.database import Database
from tests.integration.migration.launchdarkly.conftest import KEY, asked, flips

TRIED = [("tenant:acme", None, "live", "pilot"), ("tenant:acme", "live", None, "not made: {}")]
REFUSED = "LaunchDarkly refuses this (405): approval is required"


def entries(*reasons: str) -> list[tuple[Any, ...]]:
    """The change and its end, for each of the reasons."""
    return [(*one[:3], one[3].format(reason)) for reason in reasons for one in TRIED]


async def fail(stages: StageService, rest: Any, status: int, message: str) -> str:
    """Ask for the change, which LaunchDarkly answers so; what is said of it."""
    rest.answers_patches = JSONResponse({"message": message}, status)
    with pytest.raises((FlagStoreRefuses, FlagStoreUnavailable)) as refused:
        await stages.set("ada", asked())
    rest.answers_patches = None
    return refused.value.message


async def test_the_same_again_is_only_logged(
    stages: StageService, rest: Any, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(4):
        assert await fail(stages, rest, 405, "approval is required") == REFUSED
    assert await flips(database) == entries(REFUSED)
    assert caplog.text.count(f"A change of tenant:acme is still not made: {REFUSED}") == 3


async def test_another_reason_is_recorded_numbers_aside(stages: StageService, rest: Any, database: Database) -> None:
    await fail(stages, rest, 405, "approval is required")
    why = await fail(stages, rest, 409, "7 approvals are pending")
    assert await flips(database) == entries(REFUSED, why)
    await fail(stages, rest, 409, "8 approvals are pending")
    assert await flips(database) == entries(REFUSED, why)
    undoes = await database.fetch("SELECT undoes FROM taskgate.ledger ORDER BY id")
    assert [row["undoes"] for row in undoes] == [None, 1, None, 3]


async def test_the_one_that_is_made_at_last_is_recorded(stages: StageService, rest: Any, database: Database) -> None:
    await fail(stages, rest, 405, "approval is required")
    await fail(stages, rest, 405, "approval is required")
    assert (await stages.set("ada", asked())).change.version == 5
    assert await flips(database) == [*entries(REFUSED), TRIED[0]]
    row = await database.fetchrow("SELECT setting, version, entry_id FROM taskgate.routing_in_force")
    assert tuple(row or ()) == ("live", "launchdarkly:5", 3)
    # The next one is another change.
    await stages.set("ada", asked("off", 5))
    assert len(await flips(database)) == 4


async def test_another_change_is_recorded_before_it_is_made(
    stages: StageService, rest: Any, database: Database
) -> None:
    await fail(stages, rest, 405, "approval is required")
    rest.answers_patches = JSONResponse({"message": "approval is required"}, 405)
    with pytest.raises(FlagStoreRefuses):
        await stages.set("ada", asked("shadow"))
    with pytest.raises(FlagStoreRefuses):
        await stages.set("eve", asked("shadow"))
    assert len(await flips(database)) == 6


async def test_what_a_gateway_saw_first_is_not_recorded_twice(
    stages: StageService, rest: Any, database: Database
) -> None:
    await fail(stages, rest, 405, "approval is required")

    async def seen() -> None:
        """A gateway hears of it by LaunchDarkly's stream before its answer is here."""
        before = new_flag(KEY)
        after = with_stage(before, Scope("acme"), Stage.LIVE)
        [flip] = flips_of_change(before, after, source="launchdarkly", who="token", why="ada: pilot", version="5")
        async with database.transaction() as db:
            await append(db, flip)

    rest.before_answer = seen
    await stages.set("ada", asked())
    assert await flips(database) == [*entries(REFUSED), ("tenant:acme", None, "live", "ada: pilot")]


async def test_it_is_not_tried_again_while_the_ledger_cannot_be_written(
    stages: StageService, rest: Any, database: Database
) -> None:
    await fail(stages, rest, 405, "approval is required")
    await database.execute("ALTER TABLE taskgate.ledger ADD CONSTRAINT is_full CHECK (false) NOT VALID")
    try:
        with pytest.raises(LedgerUnwritable):
            await stages.set("ada", asked())
    finally:
        await database.execute("ALTER TABLE taskgate.ledger DROP CONSTRAINT is_full")
    assert rest.patches == []


async def _move_all(stages: StageService, rest: Any, tenants: Sequence[str]) -> None:
    """Ask for it; it is refused."""
    rest.answers_patches = JSONResponse({"message": "approval is required"}, 405)
    with pytest.raises(FlagStoreRefuses):
        await stages.move(
            "ada", MoveTenants(stages=dict.fromkeys(tenants, "live"), why="pilot", based_on=4, force=True)
        )


async def test_many_at_once(stages: StageService, rest: Any, database: Database) -> None:
    """More than have entries of their own."""
    tenants: Sequence[str] = [f"t{number}" for number in range(60)]
    await _move_all(stages, rest, tenants)
    await _move_all(stages, rest, tenants)
    assert [one[0] for one in await flips(database)] == ["several", "several"]
    await _move_all(stages, rest, tenants[1:])
    assert len(await flips(database)) == 4
