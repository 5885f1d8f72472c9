"""Whatever somebody writes into a flag by hand: it is refused, or all that is done with a flag can be."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.migration.ledger.flips import flips_of_change
from gateway.migration.stages.view import stages_said
from gateway.routing.errors import FlagFileInvalid
from gateway.routing.flag_document import parse_document
from gateway.routing.flag_edit import new_flag, with_rollout, with_stage
from gateway.routing.query import Scope
from gateway.routing.stages import Stage

KEY = "task-backend"
FLAG = with_stage(new_flag(KEY), Scope("acme"), Stage.LIVE)
FLAG = with_stage(FLAG, Scope("acme", None, "backup"), Stage.OFF)
FLAG = with_rollout(FLAG, Stage.LIVE, 10, by="tenant", seed=1)
FLAG["contextTargets"] = [{"contextKind": "tenant", "variation": 3, "values": ["umbrella"]}]

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 9), st.floats(), st.text(max_size=3), st.just("taskgate:x")),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(place for key, inner in items for place in places(inner, (*way, key)))]


PLACES = [place for place in places({"flags": {KEY: FLAG}, "segments": {}}) if place]


@settings(max_examples=600)
@given(st.lists(st.tuples(st.sampled_from(PLACES), values), min_size=1, max_size=3))
def test_a_flag_with_anything_in_it(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    document: Any = {"flags": {KEY: deepcopy(FLAG)}, "segments": {}}
    for (*way, last), value in changes:
        holder = document
        try:
            for step in way:
                holder = holder[step]
            holder[last] = value
        except (LookupError, TypeError):
            continue
    try:
        parse_document(json.dumps(document), KEY)
    except FlagFileInvalid:
        return
    flag = document["flags"][KEY]
    stages_said(flag)
    flips_of_change(FLAG, flag, source="database", who="ada", why="y", version="2")
    with_stage(flag, Scope("initech"), Stage.LIVE)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"flags": {"task-backend": {"x": NaN}}}', "NaN is no JSON"),
        ('{"flags": {"task-backend": {"x": "\\u0000"}}}', "NUL characters"),
        ('{"flags": {"task-backend": {"x": "\\ud800"}}}', "lone surrogates"),
        (json.dumps({"flags": {KEY: FLAG | {"version": "7"}}}), "version"),
    ],
)
def test_what_cannot_be_stored(text: str, reason: str) -> None:
    with pytest.raises(FlagFileInvalid, match=reason):
        parse_document(text, KEY)
