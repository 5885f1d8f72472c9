"""Where a change of the flag leads, as far as guardrails are asked."""

from __future__ import annotations

import pytest

from gateway.migration.stages.forward import after_rollout, after_unset
from gateway.routing.flag_edit import new_flag, with_rollout, with_stage, without_stage
from gateway.routing.query import Scope
from gateway.routing.stages import Stage

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
    flag = new_flag("task-backend")
    for one, stage in settings.items():
        flag = with_stage(flag, one, stage)
    assert after_unset(flag, without_stage(flag, scope), scope) is leads_to


def test_a_percentage_or_a_rule_by_other_hands_may_lead_forward() -> None:
    flag = with_stage(new_flag("task-backend"), ACME, Stage.OFF)
    shared = with_rollout(flag, Stage.LIVE, 10, by="tenant", seed=1)
    assert after_unset(shared, without_stage(shared, ACME), ACME) is Stage.LIVE
    gold = {"contextKind": "tenant", "attribute": "plan", "op": "in", "values": ["gold"]}
    flag["rules"].append({"id": "theirs", "variation": 3, "clauses": [gold]})
    assert after_unset(flag, without_stage(flag, ACME), ACME) is Stage.LIVE


def test_a_rollout_leads_forward_where_the_default_gives_more() -> None:
    flag = new_flag("task-backend")
    half = with_rollout(flag, Stage.LIVE, 50, by="tenant", seed=1)
    assert after_rollout(flag, half) is Stage.LIVE
    assert after_rollout(half, with_rollout(half, Stage.LIVE, 40, by="tenant", seed=1)) is None
    assert after_rollout(half, with_rollout(half, Stage.OFF, 40, by="tenant", seed=1)) is Stage.LIVE
    assert after_rollout(half, with_rollout(half, Stage.LIVE, 40, by="task", seed=1)) is Stage.LIVE
    assert after_rollout(half, with_rollout(half, Stage.LIVE, 0, by="task", seed=1)) is None
    whole = with_stage(flag, Scope(), Stage.LIVE)
    assert after_rollout(whole, with_rollout(whole, Stage.OFF, 10, by="tenant", seed=1)) is None
    assert after_rollout(whole, with_rollout(whole, Stage.RAMPDOWN, 10, by="tenant", seed=1)) is Stage.RAMPDOWN
