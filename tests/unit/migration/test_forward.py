"""Where a change of the flag leads, as far as guardrails are asked."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.migration.stages.forward import after_import, after_rollout, after_unset, may_reach_more
from gateway.routing.flag_edit import new_flag, with_rollout, with_stage, without_stage
from gateway.routing.query import Scope
from gateway.routing.stages import Stage

KEY = "task-backend"
ACME = Scope("acme")


@pytest.mark.parametrize(
    ("settings", "scope", "leads_to"),
    [
        ({ACME: Stage.OFF}, ACME, None),
        ({ACME: Stage.OFF, Scope(): Stage.LIVE}, ACME, Stage.LIVE),
        ({ACME: Stage.LIVE, Scope(): Stage.LIVE}, ACME, None),
        ({ACME: Stage.LIVE, Scope(): Stage.RAMPDOWN}, ACME, Stage.RAMPDOWN),
        ({ACME: Stage.OFF, Scope("globex"): Stage.LIVE}, ACME, None),
        ({ACME: Stage.OFF, Scope(None, None, "probe"): Stage.LIVE}, ACME, Stage.LIVE),
        ({ACME: Stage.OFF, Scope("acme", "p1"): Stage.LIVE}, ACME, None),
        ({Scope("acme", "p1"): Stage.OFF, ACME: Stage.SHADOW, Scope(): Stage.LIVE}, Scope("acme", "p1"), None),
        ({Scope("acme", "p1"): Stage.OFF, ACME: Stage.LIVE}, Scope("acme", "p1"), Stage.LIVE),
        ({Scope(None, "p1"): Stage.OFF, ACME: Stage.LIVE}, Scope(None, "p1"), Stage.LIVE),
    ],
)
def test_what_a_scope_follows_once_its_own_stage_is_gone(
    settings: dict[Scope, Stage], scope: Scope, leads_to: Stage | None
) -> None:
    flag = new_flag(KEY)
    for one, stage in settings.items():
        flag = with_stage(flag, one, stage)
    assert after_unset(flag, without_stage(flag, scope), scope) is leads_to


def test_a_percentage_or_a_rule_by_other_hands_may_lead_forward() -> None:
    flag = with_stage(new_flag(KEY), ACME, Stage.OFF)
    shared = with_rollout(flag, Stage.LIVE, 10, by="tenant", seed=1)
    assert after_unset(shared, without_stage(shared, ACME), ACME) is Stage.LIVE
    gold = {"contextKind": "tenant", "attribute": "plan", "op": "in", "values": ["gold"]}
    flag["rules"].append({"id": "theirs", "variation": 3, "clauses": [gold]})
    assert after_unset(flag, without_stage(flag, ACME), ACME) is Stage.LIVE


def test_a_rollout_leads_forward_where_the_default_gives_more() -> None:
    flag = new_flag(KEY)
    half = with_rollout(flag, Stage.LIVE, 50, by="tenant", seed=1)
    assert after_rollout(flag, half) is Stage.LIVE
    assert after_rollout(half, with_rollout(half, Stage.LIVE, 40, by="tenant", seed=1)) is None
    assert after_rollout(half, with_rollout(half, Stage.OFF, 40, by="tenant", seed=1)) is Stage.LIVE
    assert after_rollout(half, with_rollout(half, Stage.LIVE, 40, by="task", seed=1)) is Stage.LIVE
    assert after_rollout(half, with_rollout(half, Stage.LIVE, 0, by="task", seed=1)) is None
    whole = with_stage(flag, Scope(), Stage.LIVE)
    assert after_rollout(whole, with_rollout(whole, Stage.OFF, 10, by="tenant", seed=1)) is None
    assert after_rollout(whole, with_rollout(whole, Stage.RAMPDOWN, 10, by="tenant", seed=1)) is Stage.RAMPDOWN


@pytest.mark.parametrize(
    ("was", "becomes", "forward"),
    [
        ({}, {ACME: Stage.LIVE, Scope("globex"): Stage.SHADOW}, {ACME: Stage.LIVE}),
        ({ACME: Stage.LIVE}, {ACME: Stage.LIVE}, {}),
        ({ACME: Stage.LIVE}, {ACME: Stage.OFF}, {}),
        ({ACME: Stage.LIVE}, {}, {}),
        ({ACME: Stage.OFF}, {Scope(): Stage.LIVE}, {ACME: Stage.LIVE, Scope(): Stage.LIVE}),
        ({Scope(): Stage.LIVE}, {Scope(): Stage.LIVE, ACME: Stage.LIVE}, {}),
        ({Scope(): Stage.LIVE}, {Scope(): Stage.LIVE, ACME: Stage.COMPLETE}, {ACME: Stage.COMPLETE}),
    ],
)
def test_whom_another_flag_moves_forward(
    was: dict[Scope, Stage], becomes: dict[Scope, Stage], forward: dict[Scope, Stage]
) -> None:
    old, new = (document(one)["flags"][KEY] for one in (was, becomes))
    assert after_import(old, new) == forward


@pytest.mark.parametrize(
    ("was", "becomes", "reaches_more"),
    [
        ({}, {ACME: Stage.COMPLETE}, True),
        ({ACME: Stage.COMPLETE}, {ACME: Stage.COMPLETE, Scope("globex"): Stage.LIVE}, False),
        ({ACME: Stage.COMPLETE}, {ACME: Stage.COMPLETE, Scope("globex", None, "probe"): Stage.LIVE}, False),
        ({ACME: Stage.LIVE, Scope(): Stage.COMPLETE}, {Scope(): Stage.COMPLETE}, True),
        ({ACME: Stage.COMPLETE, Scope(): Stage.COMPLETE}, {Scope(): Stage.COMPLETE}, False),
        ({ACME: Stage.LIVE, Scope(): Stage.COMPLETE}, {ACME: Stage.OFF, Scope(): Stage.COMPLETE}, False),
        ({Scope(): Stage.LIVE}, {Scope(): Stage.COMPLETE}, True),
    ],
)
def test_who_may_newly_be_at_a_stage(was: dict[Scope, Stage], becomes: dict[Scope, Stage], reaches_more: bool) -> None:
    assert may_reach_more(document(was), document(becomes), KEY, Stage.COMPLETE) is reaches_more


def test_percentages_and_what_other_hands_wrote_may_reach_more() -> None:
    def shared(percent: float, *, by: str = "tenant", seed: int = 1) -> dict[str, Any]:
        return {"flags": {KEY: with_rollout(new_flag(KEY), Stage.COMPLETE, percent, by=by, seed=seed)}}

    for after, reaches_more in (
        (shared(10), False),
        (shared(5), False),
        (shared(11), True),
        (shared(10, by="task"), True),
        (shared(10, seed=2), True),
        ({**shared(10), "segments": {"s": {"included": ["acme"]}}}, True),
    ):
        assert may_reach_more(shared(10), after, KEY, Stage.COMPLETE) is reaches_more
    assert not may_reach_more(document({Scope(): Stage.COMPLETE}), shared(50), KEY, Stage.COMPLETE)


def document(settings: dict[Scope, Stage]) -> dict[str, Any]:
    flag = new_flag(KEY)
    for one, stage in settings.items():
        flag = with_stage(flag, one, stage)
    return {"flags": {KEY: flag}}


def test_a_flag_that_is_switched_on_again_moves_forward_whom_it_has_further() -> None:
    on = with_stage(new_flag(KEY), ACME, Stage.LIVE)
    off = {**on, "on": False}
    assert after_import(off, on) == {ACME: Stage.LIVE}
    assert after_import(on, off) == {}
    further = {**off, "variations": [*off["variations"]], "offVariation": off["variations"].index("live")}
    assert after_import(off, further) == {Scope(): Stage.LIVE}
    assert after_import({**off, "offVariation": None}, further) == {Scope(): Stage.LIVE}
