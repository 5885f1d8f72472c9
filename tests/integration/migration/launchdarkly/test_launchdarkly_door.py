"""A flag that LaunchDarkly holds is patched through its REST API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.migration.flags.errors import (
    FlagStoreRefuses,
    StageChangeRefused,
    StageVersionStale,
)
from gateway.migration.flags.launchdarkly_store import ReadOnlyStore
from gateway.migration.stages.requests import ImportFlags, SetRollout, UnsetStage
from gateway.migration.stages.service import StageService
from gateway.routing.flag_edit import new_flag
from gateway.routing.flags import FlagSource
from gateway.storage.database import Database
from tests.integration.migration.launchdarkly.conftest import KEY, Clock, asked, flips, stages_of


async def test_stages_are_patched(stages: StageService, rest: Any, database: Database) -> None:
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


async def test_percentages_are_patched(stages: StageService, rest: Any) -> None:
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


async def test_rules_keep_their_order_and_those_by_other_hands_stay(stages: StageService, rest: Any) -> None:
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


async def test_a_version_that_is_not_the_newest_is_refused_and_says_who(stages: StageService, rest: Any) -> None:
    rest.somebody_patches()
    with pytest.raises(StageVersionStale) as refused:
        await stages.set("ada", asked())
    assert "the flag has version 5, this change is based on 4: grace@example.org" in refused.value.message
    assert "(by hand)" in refused.value.message
    assert len(rest.patches) == 1


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
    with pytest.raises(FlagStoreRefuses) as refused:
        await stages_of(database, rest.url, clock, **options).view()
    assert (refused.value.code, reason in refused.value.message) == ("flag_store_refuses", True)
    assert "wrong" not in refused.value.message


async def test_a_stage_that_the_flag_lacks(stages: StageService, rest: Any) -> None:
    rest.variations = [one for one in rest.variations if one["value"] != "complete"]
    with pytest.raises(StageChangeRefused, match="has no variation 'complete': add it there first"):
        await stages.set("ada", asked("complete"))
    assert rest.patches == []


async def test_nothing_else_is_imported(stages: StageService, rest: Any) -> None:
    document = {"flags": {KEY: new_flag(KEY) | {"on": False}}}
    with pytest.raises(StageChangeRefused, match="stages and percentages are changed here, nothing else"):
        await stages.load("ada", ImportFlags(document=document, why="x", based_on=4, force=True))


async def test_without_a_token_it_says_that_it_may_not(database: Database) -> None:
    stages = StageService(
        database, ReadOnlyStore(FlagSource(sdk_key="sdk")), KEY, "LaunchDarkly", configured=frozenset()
    )
    changes: list[Callable[[], Awaitable[Any]]] = [
        lambda: stages.set("ada", asked()),
        lambda: stages.roll_out("ada", SetRollout(stage="live", percent=5, why="x", based_on=0)),
    ]
    for change in changes:
        with pytest.raises(FlagStoreRefuses) as refused:
            await change()
        assert "without TASKGATE_LAUNCHDARKLY_API_TOKEN it may not be changed from here" in refused.value.message
        assert "\n" not in refused.value.message
