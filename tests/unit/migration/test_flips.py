from __future__ import annotations

from typing import Any

import pytest

from gateway.migration.ledger.flips import flips_of_change
from gateway.routing.flag_edit import new_flag, with_rollout, with_stage
from gateway.routing.query import Scope
from gateway.routing.stages import Stage

FLAG = new_flag("task-backend")
VIPS = {
    "id": "vips",
    "variation": 3,
    "clauses": [{"contextKind": "tenant", "attribute": "tier", "op": "in", "values": ["vip"]}],
}


def told(before: dict[str, Any] | None, after: dict[str, Any]) -> list[tuple[str, Stage | None, Stage | None, str]]:
    flips = flips_of_change(before, after, source="file", who="ada", why="move", version="2")
    assert {(flip.source, flip.who, flip.why, flip.version) for flip in flips} <= {("file", "ada", "move", "2")}
    return [(flip.scope, flip.before, flip.after, flip.setting) for flip in flips]


@pytest.mark.parametrize(
    ("before", "after", "flips"),
    [
        (FLAG, FLAG, []),
        (FLAG, FLAG | {"version": 9, "salt": "x"}, []),
        (None, FLAG, [("all", Stage.OFF, None, ""), ("default", None, Stage.OFF, "off")]),
        (
            FLAG,
            with_stage(FLAG, Scope("acme"), Stage.LIVE),
            [("tenant:acme", None, Stage.LIVE, "live")],
        ),
        (
            with_stage(FLAG, Scope("acme"), Stage.LIVE),
            # A combination turns every target into a rule; what they say stays.
            with_stage(with_stage(FLAG, Scope("acme"), Stage.LIVE), Scope("acme", None, "backup"), Stage.OFF),
            [("tenant:acme,type:backup", None, Stage.OFF, "off")],
        ),
        (with_stage(FLAG, Scope("acme"), Stage.LIVE), FLAG, [("tenant:acme", Stage.LIVE, None, "")]),
        (FLAG, with_stage(FLAG, Scope(), Stage.COMPLETE), [("default", Stage.OFF, Stage.COMPLETE, "complete")]),
        (
            FLAG,
            with_rollout(FLAG, Stage.LIVE, 25, by="tenant", seed=7),
            [("default", Stage.OFF, None, "off 75 %, live 25 % by tenant, seed 7")],
        ),
        (FLAG, FLAG | {"on": False}, [("all", None, Stage.OFF, "off")]),
        (FLAG, FLAG | {"rules": [VIPS]}, [("rule:vips", None, Stage.LIVE, "tenant tier vip: live")]),
        (
            FLAG | {"rules": [VIPS]},
            FLAG | {"rules": [VIPS | {"variation": 0}]},
            [("rule:vips", Stage.LIVE, Stage.OFF, "tenant tier vip: off")],
        ),
    ],
)
def test_one_flip_for_each_scope_that_changed(
    before: dict[str, Any] | None, after: dict[str, Any], flips: list[tuple[str, Stage | None, Stage | None, str]]
) -> None:
    assert told(before, after) == flips


def test_many_at_once_are_one() -> None:
    targets = [{"contextKind": "tenant", "variation": 3, "values": [f"t{number}" for number in range(51)]}]
    [flip] = flips_of_change(
        FLAG, FLAG | {"contextTargets": targets}, source="file", who="ada", why="move", version="2"
    )
    assert (flip.scope, flip.before, flip.after) == ("several", None, None)
    assert flip.evidence["scopes"]["tenant:t50"] == ["", "live"]
