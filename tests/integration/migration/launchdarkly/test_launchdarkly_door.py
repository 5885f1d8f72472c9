"""The door over a flag that LaunchDarkly holds: patched through its REST API, whatever that answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.responses import JSONResponse

from gateway.migration.flags.errors import (
    FlagOutcomeUnknown,
    FlagStoreUnavailable,
    StageChangeRefused,
    StageVersionStale,
)
from gateway.migration.flags.launchdarkly_api import LaunchDarklyApi
from gateway.migration.flags.launchdarkly_store import LaunchDarklyStore, ReadOnlyStore
from gateway.migration.stages.door import Stages
from gateway.migration.stages.requests import ImportFlags, SetRollout, SetStage, UnsetStage
from gateway.routing.flag_edit import new_flag
from gateway.routing.flags import FlagSource
from gateway.storage.database import Database

KEY = "task-backend"
HOUR = 3600.0


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stages(database: Database, rest: Any, clock: Clock) -> Stages:
    return stages_of(database, rest.url, clock)


def stages_of(database: Database, url: str, clock: Clock, token: str = "api-stand-in", **options: str) -> Stages:
    places = {"project": "default", "environment": "production", **options}
    api = LaunchDarklyApi(url, token, flag_key=KEY, clock=clock, sleep=clock.sleep, **places)
    store = LaunchDarklyStore(database, api, KEY)
    return Stages(database, store, KEY, "LaunchDarkly", configured=frozenset({"redis", "temporal"}))


def asked(stage: str = "live", based_on: int = 4, **fields: Any) -> SetStage:
    fields = fields or {"tenant_id": "acme"}
    return SetStage(**fields, stage=stage, why="pilot", based_on=based_on, force=True)  # type: ignore[arg-type]


async def flips(database: Database) -> list[tuple[Any, ...]]:
    rows = await database.fetch("SELECT scope, before, after, why FROM taskgate.ledger ORDER BY id")
    return [tuple(row) for row in rows]


async def test_stages_are_patched(stages: Stages, rest: Any, database: Database) -> None:
    view = await stages.view()
    assert (view["source"], view["version"], view["default"], view["settings"]) == ("launchdarkly", 4, "off", [])
    made = await stages.set("ada", asked())
    assert (made.change.version, made.change.before, made.change.after) == (5, "not set", "live")
    assert rest.patches[-1]["comment"] == "ada: pilot"
    assert rest.patches[-1]["instructions"] == [
        {"kind": "addTargets", "contextKind": "tenant", "variationId": "variation-live", "values": ["acme"]}
    ]
    await stages.set("ada", asked("off", 5))
    assert [one["kind"] for one in rest.patches[-1]["instructions"]] == ["removeTargets", "addTargets"]
    unset = UnsetStage(tenant_id="acme", why="x", based_on=6, force=True)
    await stages.unset("ada", unset)
    assert rest.there["contextTargets"] == [
        {"contextKind": "tenant", "variation": 3, "values": []},
        {"contextKind": "tenant", "variation": 0, "values": []},
    ]
    assert await flips(database) == [
        ("tenant:acme", None, "live", "pilot"),
        ("tenant:acme", "live", "off", "pilot"),
        ("tenant:acme", "off", None, "x"),
    ]


async def test_percentages_are_patched(stages: Stages, rest: Any) -> None:
    await stages.roll_out("ada", SetRollout(stage="live", percent=25, why="x", based_on=4))
    assert rest.patches[-1]["instructions"] == [
        {
            "kind": "updateFallthroughVariationOrRollout",
            "rolloutContextKind": "tenant",
            "rolloutWeights": {"variation-off": 75_000, "variation-live": 25_000},
        }
    ]
    await stages.roll_out("ada", SetRollout(stage="live", percent=100, why="x", based_on=5))
    assert rest.there["fallthrough"] == {"variation": 3}


async def test_rules_keep_their_order_and_those_by_other_hands_stay(stages: Stages, rest: Any) -> None:
    foreign = {
        "_id": "by-hand",
        "description": "gold",
        "variation": 3,
        "clauses": [
            {"_id": "c", "contextKind": "tenant", "attribute": "plan", "op": "in", "values": ["gold"], "negate": False}
        ],
    }
    rest.there["rules"] = [foreign]
    await stages.set("ada", asked("live", 4, task_type="backup"))
    await stages.set("ada", asked("shadow", 5, tenant_id="acme", task_type="backup"))
    await stages.set("ada", asked("complete", 6, tenant_id="acme", project_id="p1", task_type="backup"))
    assert [rule["description"] for rule in rest.there["rules"]] == [
        "taskgate:project p1, tenant acme, type backup",
        "taskgate:tenant acme, type backup",
        "taskgate:task:live",
        "gold",
    ]
    settings = [
        (one["project_id"], one["tenant_id"], one["task_type"], one["stage"])
        for one in (await stages.view())["settings"]
    ]
    assert settings == [
        ("p1", "acme", "backup", "complete"),
        (None, "acme", "backup", "shadow"),
        (None, None, "backup", "live"),
    ]
    await stages.set("ada", asked("off", 7, task_type="add_episode"))
    await stages.unset("ada", UnsetStage(task_type="backup", why="x", based_on=8, force=True))
    assert [rule["description"] for rule in rest.there["rules"]] == [
        "taskgate:project p1, tenant acme, type backup",
        "taskgate:tenant acme, type backup",
        "taskgate:task:off",
        "gold",
    ]
    assert rest.there["rules"][-1] == foreign


async def test_a_version_that_is_not_the_newest_is_refused_and_says_who(stages: Stages, rest: Any) -> None:
    rest.somebody_patches()
    with pytest.raises(StageVersionStale) as refused:
        await stages.set("ada", asked())
    assert "the flag has version 5, this change is based on 4: grace@example.org" in refused.value.message
    assert "(by hand)" in refused.value.message
    assert len(rest.patches) == 1


async def test_somebody_who_is_faster_while_it_is_patched(stages: Stages, rest: Any, database: Database) -> None:
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


async def test_a_conflict_with_what_waits_for_approval(stages: Stages, rest: Any, database: Database) -> None:
    rest.failures = [*_held_and_read(rest), JSONResponse({"message": "a pending approval would fail"}, 409)]
    with pytest.raises(StageChangeRefused, match=r"LaunchDarkly refuses this \(409\): a pending approval would fail"):
        await stages.set("ada", asked())
    assert (await flips(database))[-1][3].startswith("not made: ")


async def test_429_for_an_hour(stages: Stages, rest: Any, clock: Clock, database: Database) -> None:
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
async def test_429_without_a_sound_time(stages: Stages, rest: Any, headers: dict[str, str], pause: int) -> None:
    rest.broken = JSONResponse({}, 429, headers)
    with pytest.raises(FlagStoreUnavailable) as refused:
        await stages.view()
    assert refused.value.retry_after == pause


async def test_500_for_an_hour(stages: Stages, rest: Any, clock: Clock, database: Database) -> None:
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


async def test_a_patch_that_fails_is_sent_again(stages: Stages, rest: Any) -> None:
    rest.failures = [*_held_and_read(rest), JSONResponse({}, 500)]
    assert (await stages.set("ada", asked())).change.version == 5
    assert len(rest.patches) == 1


async def test_a_patch_that_was_made_and_answered_500_is_not_made_twice(
    stages: Stages, rest: Any, database: Database
) -> None:
    rest.loses_answers = 1
    made = await stages.set("ada", asked())
    assert (made.change.version, len(rest.patches)) == (5, 1)
    assert await flips(database) == [("tenant:acme", None, "live", "pilot")]


async def test_a_patch_of_which_nobody_can_say_whether_it_was_made(
    stages: Stages, rest: Any, database: Database
) -> None:
    """The entry of the ledger stays: what becomes of it is seen in LaunchDarkly's stream."""
    rest.failures = [*_held_and_read(rest), *[JSONResponse({}, 500) for _ in range(4)]]
    with pytest.raises(FlagOutcomeUnknown):
        await stages.set("ada", asked())
    assert await flips(database) == [("tenant:acme", None, "live", "pilot")]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"token": "wrong"}, "does not let the API token do this (401: Invalid access token)"),
        ({"project": "other"}, "LaunchDarkly has no flag 'task-backend' in project 'other'"),
        ({"environment": "test"}, "LaunchDarkly's flag has no environment 'test'"),
    ],
)
async def test_settings_that_are_wrong_are_said(
    database: Database, rest: Any, clock: Clock, options: dict[str, str], reason: str
) -> None:
    with pytest.raises(StageChangeRefused) as refused:
        await stages_of(database, rest.url, clock, **options).view()
    assert reason in refused.value.message
    assert "wrong" not in refused.value.message


async def test_nobody_is_there(database: Database, clock: Clock) -> None:
    with pytest.raises(FlagStoreUnavailable, match=r"cannot be reached \(ConnectError\); nothing was changed"):
        await stages_of(database, "http://127.0.0.1:1", clock).view()


async def test_a_stage_that_the_flag_lacks(stages: Stages, rest: Any) -> None:
    rest.variations = [one for one in rest.variations if one["value"] != "complete"]
    with pytest.raises(StageChangeRefused, match="has no variation 'complete': add it there first"):
        await stages.set("ada", asked("complete"))
    assert rest.patches == []


async def test_nothing_else_is_imported(stages: Stages, rest: Any) -> None:
    document = {"flags": {KEY: new_flag(KEY) | {"on": False}}}
    with pytest.raises(StageChangeRefused, match="stages and percentages are changed here, nothing else"):
        await stages.load("ada", ImportFlags(document=document, why="x", based_on=4, force=True))


async def test_without_a_token_it_says_that_it_may_not(database: Database) -> None:
    stages = Stages(database, ReadOnlyStore(FlagSource(sdk_key="sdk")), KEY, "LaunchDarkly", configured=frozenset())
    changes: list[Callable[[], Awaitable[Any]]] = [
        lambda: stages.set("ada", asked()),
        lambda: stages.roll_out("ada", SetRollout(stage="live", percent=5, why="x", based_on=0)),
    ]
    for change in changes:
        with pytest.raises(StageChangeRefused) as refused:
            await change()
        assert "without TASKGATE_LAUNCHDARKLY_API_TOKEN it may not be changed from here" in refused.value.message
        assert "\n" not in refused.value.message


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
