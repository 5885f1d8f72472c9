from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.routing.errors import FlagFileInvalid
from gateway.routing.flag_document import oddities, parse_document, reached_stages
from gateway.routing.flag_edit import new_flag, with_rollout, with_stage
from gateway.routing.query import Scope
from gateway.routing.stages import Stage

KEY = "task-backend"


def document(**changes: Any) -> str:
    return json.dumps({"flags": {KEY: {**new_flag(KEY), **changes}}})


def clause(**changes: Any) -> dict[str, Any]:
    return {"contextKind": "tenant", "attribute": "plan", "op": "in", "values": ["gold"], **changes}


def rollout(*weights: int) -> dict[str, Any]:
    parts = [{"variation": index, "weight": weight} for index, weight in enumerate(weights)]
    return {"rollout": {"contextKind": "tenant", "variations": parts}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "it is not JSON: Expecting value: line 1 column 1"),
        ('{"flags": {', "it is not JSON: .* line 1"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "must be a JSON object"),
        ("{}", "it has no flag 'task-backend'"),
        ('{"flags": []}', "it has no flag"),
        ('{"flags": [1]}', "'flags' must be an object"),
        ('{"flags": {"task-backend": 1}}', "'task-backend' must be an object"),
        ('{"flagValues": {"task-backend": "of"}}', "variation 'of' is not a stage"),
        (document(key="other"), "holds an item with the key 'other'"),
        (document(variations=[]), "no variations"),
        (document(variations="off"), 'property "variations" should be type'),
        (document(variations=["off", "LIVE"]), "variation 'LIVE' is not a stage; the stages are off"),
        (document(fallthrough={}), "fallthrough names neither a variation nor a rollout"),
        (document(fallthrough={"variation": 6}), "fallthrough names variation 6, but there are only 6"),
        (document(fallthrough={"variation": -1}), "fallthrough names variation -1"),
        (document(offVariation=9), "offVariation names variation 9"),
        (document(contextTargets=[{"contextKind": "tenant", "variation": 7, "values": []}]), r"contextTargets\[0\]"),
        (document(contextTargets=[{"contextKind": "tenant", "variation": 1}]), '"values" is missing'),
        (document(rules=[{"clauses": [clause()]}]), "rule 0 names neither"),
        (document(rules=[{"clauses": [{"op": "in"}], "variation": 1}]), '"attribute" is missing'),
        (document(fallthrough=rollout(75, 25)), "weights add up to 100, not to 100000"),
        (document(fallthrough=rollout(110_000, -10_000)), "weights add up to"),
        (document(fallthrough=rollout(0, 0, 0, 0, 0, 0, 100_000)), "fallthrough names variation 6"),
        (document(version="1"), '"version" should be type'),
    ],
)
def test_what_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(FlagFileInvalid, match=complaint):
        parse_document(text, KEY)


def test_the_short_form_of_the_sdks_file_source_is_accepted() -> None:
    data = parse_document('{"flagValues": {"task-backend": "live", "other": 1}}', KEY)
    assert data.features[KEY]["variations"] == ["live"]


def test_other_flags_and_segments_are_kept() -> None:
    flags = {KEY: new_flag(KEY), "other": {"key": "other", "on": False, "variations": [True]}}
    data = parse_document(json.dumps({"flags": flags, "segments": {"vips": {"included": ["x"]}}}), KEY)
    assert set(data.features) == {KEY, "other"}
    assert data.segments["vips"]["version"] == 1


def test_oddities() -> None:
    assert oddities(new_flag(KEY)) == []
    odd = new_flag(KEY) | {
        "on": False,
        "targets": [{"variation": 3, "values": ["someone"]}],
        "rules": [{"variation": 3, "clauses": [clause(contextKind=None), clause(), clause(attribute="kind")]}],
    }
    found = oddities(odd)
    assert len(found) == 3
    assert "switched off" in found[0]
    assert "rule 0 looks at the context kind 'user'" in found[1]
    assert "targets of the context kind 'user'" in found[2]


def test_reached_stages_name_those_concerned() -> None:
    flag = with_stage(new_flag(KEY), Scope("acme"), Stage.LIVE)
    flag = with_stage(flag, Scope(task_type="backup"), Stage.COMPLETE)
    flag = with_rollout(flag, Stage.LIVE, 10, by="tenant", seed=1)
    assert reached_stages(flag) == {
        Stage.LIVE: ["tenant acme", "default"],
        Stage.COMPLETE: ["task type backup"],
        Stage.OFF: ["default"],
    }


def test_a_flag_switched_off_reaches_its_off_variation_only() -> None:
    flag = with_stage(new_flag(KEY), Scope("acme"), Stage.LIVE) | {"on": False}
    assert reached_stages(flag) == {Stage.OFF: ["default"]}
