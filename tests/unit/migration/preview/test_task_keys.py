"""Whether a flag's answer depends on which task it is."""

from __future__ import annotations

from typing import Any

from gateway.migration.preview.task_keys import TaskKeys
from gateway.routing.flag_edit import new_flag, with_rollout, with_stage
from gateway.routing.query import Scope
from gateway.routing.stages import Stage

KEY = "task-backend"
FALLTHROUGH, TARGET = {"kind": "FALLTHROUGH"}, {"kind": "TARGET_MATCH"}


def keys(flag: dict[str, Any], **segments: Any) -> TaskKeys:
    return TaskKeys({"flags": {KEY: flag}, "segments": segments}, KEY)


def test_a_percentage_of_tasks_decides_where_nothing_else_does() -> None:
    flag = with_rollout(with_stage(new_flag(KEY), Scope("acme"), Stage.LIVE), Stage.LIVE, 5, by="task", seed=1)
    assert [keys(flag).decide(reason) for reason in (FALLTHROUGH, TARGET, None)] == [True, False, False]


def test_a_percentage_of_tenants_does_not() -> None:
    assert not keys(with_rollout(new_flag(KEY), Stage.LIVE, 5, by="tenant", seed=1)).decide(FALLTHROUGH)


def test_a_percentage_in_a_rule() -> None:
    weights = [{"variation": 0, "weight": 50_000}, {"variation": 3, "weight": 50_000}]
    clause = {"contextKind": "tenant", "attribute": "tier", "op": "in", "values": ["vip"]}
    rule = {"id": "vips", "clauses": [clause], "rollout": {"contextKind": "task", "variations": weights}}
    flag = {**new_flag(KEY), "rules": [rule]}
    assert keys(flag).decide({"kind": "RULE_MATCH", "ruleIndex": 0})
    assert not keys(flag).decide(FALLTHROUGH)


def test_where_tasks_are_named_every_answer_may_depend_on_them() -> None:
    clause = {"contextKind": "task", "attribute": "key", "op": "in", "values": ["t-1"]}
    named = {**new_flag(KEY), "rules": [{"variation": 3, "clauses": [clause]}]}
    target = {**new_flag(KEY), "contextTargets": [{"contextKind": "task", "values": ["t-1"], "variation": 3}]}
    by_type = {**new_flag(KEY), "rules": [{"variation": 3, "clauses": [{**clause, "attribute": "type"}]}]}
    segment = {"key": "some", "rules": [{"clauses": [], "weight": 5000, "rolloutContextKind": "task"}]}
    assert [keys(flag).decide(TARGET) for flag in (named, target, by_type)] == [True, True, False]
    assert keys(new_flag(KEY), some=segment).decide(FALLTHROUGH)
