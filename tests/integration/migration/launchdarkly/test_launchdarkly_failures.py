"""LaunchDarkly's REST API is slow, full, broken or not there: what becomes of a change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from starlette.responses import JSONResponse

from gateway.migration.flags.errors import (
    FlagOutcomeUnknown,
    FlagStoreRefuses,
    FlagStoreUnavailable,
    StageVersionStale,
)
from gateway.migration.stages.service import StageService
from gateway.storage.database import Database
from tests.integration.migration.launchdarkly.conftest import Clock, asked, flips, stages_of

HOUR = 3600.0


@pytest_asyncio.fixture
async def without_the_release_before(database: Database) -> AsyncIterator[None]:
    """Nobody fills in what that does not write."""
    await database.execute("ALTER TABLE taskgate.ledger DISABLE TRIGGER note_undone")
    yield
    await database.execute("ALTER TABLE taskgate.ledger ENABLE TRIGGER note_undone")


async def test_somebody_who_is_faster_while_it_is_patched(stages: StageService, rest: Any, database: Database) -> None:
    """LaunchDarkly answers 409; the ledger takes the entry back."""
    rest.failures = [*_held_and_read(rest), JSONResponse({"code": "conflict", "message": "try again"}, 409)]
    original = rest._refusal

    def faster(request: Any) -> Any:
        if request.method == "PATCH":
            rest.somebody_patches()
        return original(request)

    rest._refusal = faster
    with pytest.raises(StageVersionStale):
        await stages.set("ada", asked())
    assert await flips(database) == [
        ("tenant:acme", None, "live", "pilot"),
        ("tenant:acme", "live", None, "not made: The flag was changed meanwhile; nothing was changed."),
    ]


async def test_a_conflict_with_what_waits_for_approval(
    stages: StageService, rest: Any, database: Database, without_the_release_before: None
) -> None:
    rest.failures = [*_held_and_read(rest), JSONResponse({"message": "a pending approval would fail"}, 409)]
    with pytest.raises(FlagStoreRefuses, match=r"LaunchDarkly refuses this \(409\): a pending approval would fail"):
        await stages.set("ada", asked())
    assert (await flips(database))[-1][3].startswith("not made: ")
    assert await database.fetchval("SELECT undoes FROM taskgate.ledger ORDER BY id DESC LIMIT 1") == 1


@pytest.mark.parametrize("status", [401, 403, 405])
async def test_a_change_that_the_token_may_not_make(
    stages: StageService, rest: Any, database: Database, status: int
) -> None:
    """It may read. The ledger takes the entry back."""
    rest.failures = [*_held_and_read(rest), JSONResponse({"message": "not with this token"}, status)]
    with pytest.raises(FlagStoreRefuses, match=f"{status}.*: not with this token"):
        await stages.set("ada", asked())
    assert "not with this token" in (await flips(database))[-1][3]


async def test_429_for_an_hour(stages: StageService, rest: Any, clock: Clock, database: Database) -> None:
    """It is asked once and then left alone for as long as it says; afterwards the change is made."""
    rest.broken = JSONResponse({"message": "rate limited"}, 429, {"Retry-After": str(int(HOUR))})
    for waited in (0, 60, 3000):
        clock.now = 1000 + waited
        with pytest.raises(FlagStoreUnavailable) as refused:
            await stages.set("ada", asked())
        left = int(HOUR) - waited
        assert refused.value.retry_after == left
        assert refused.value.message == (
            f"LaunchDarkly takes no more requests for {left} s (429);"
            " nothing was changed; in an emergency an override stands above the flag"
        )
    assert (rest.requests, await flips(database)) == (1, [])
    rest.broken = None
    clock.now = 1000 + HOUR
    assert (await stages.set("ada", asked())).change.version == 5


@pytest.mark.parametrize(
    ("headers", "pause"), [({}, 10), ({"Retry-After": "soon"}, 10), ({"Retry-After": "86400"}, 3600)]
)
async def test_429_without_a_sound_time(stages: StageService, rest: Any, headers: dict[str, str], pause: int) -> None:
    rest.broken = JSONResponse({}, 429, headers)
    with pytest.raises(FlagStoreUnavailable) as refused:
        await stages.view()
    assert refused.value.retry_after == pause


async def test_500_for_an_hour(stages: StageService, rest: Any, clock: Clock, database: Database) -> None:
    """Each attempt ends after three requests with an answer that one can act on; nothing is queued up."""
    rest.broken = JSONResponse({"message": "internal"}, 500)
    begun = clock.now
    while clock.now < begun + HOUR:
        before = rest.requests
        with pytest.raises(FlagStoreUnavailable, match=r"LaunchDarkly's API answers 500; nothing was changed; in an"):
            await stages.set("ada", asked())
        assert rest.requests - before == 3
        clock.now += 600
    assert await flips(database) == []
    rest.broken = None
    assert (await stages.set("ada", asked())).change.version == 5
    assert len(rest.patches) == 1


async def test_a_patch_that_fails_is_sent_again(stages: StageService, rest: Any) -> None:
    rest.failures = [*_held_and_read(rest), JSONResponse({}, 500)]
    assert (await stages.set("ada", asked())).change.version == 5
    assert len(rest.patches) == 1


async def test_a_patch_that_was_made_and_answered_500_is_not_made_twice(
    stages: StageService, rest: Any, database: Database
) -> None:
    rest.loses_answers = 1
    made = await stages.set("ada", asked())
    assert (made.change.version, len(rest.patches)) == (5, 1)
    assert await flips(database) == [("tenant:acme", None, "live", "pilot")]


async def test_a_patch_of_which_nobody_can_say_whether_it_was_made(
    stages: StageService, rest: Any, database: Database
) -> None:
    """The entry of the ledger stays: what becomes of it is seen in LaunchDarkly's stream."""
    rest.failures = [*_held_and_read(rest), *[JSONResponse({}, 500) for _ in range(4)]]
    with pytest.raises(FlagOutcomeUnknown):
        await stages.set("ada", asked())
    assert await flips(database) == [("tenant:acme", None, "live", "pilot")]


async def test_nobody_is_there(database: Database, clock: Clock) -> None:
    with pytest.raises(FlagStoreUnavailable, match=r"cannot be reached \(ConnectError\); nothing was changed"):
        await stages_of(database, "http://127.0.0.1:1", clock).view()


def _held_and_read(rest: Any) -> list[Any]:
    """What a change reads before it patches: twice the flag."""
    return [_Sound(rest), _Sound(rest)]


class _Sound(JSONResponse):
    """The flag as it is when it is asked for."""

    def __init__(self, rest: Any) -> None:
        self._rest = rest
        super().__init__({})

    async def __call__(self, *args: Any) -> None:
        await JSONResponse(self._rest.shown())(*args)
