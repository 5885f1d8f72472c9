"""JSON and structs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from gateway.rpc.failures import InvalidFields
from gateway.rpc.values import DEEPEST_ANSWER, Room, from_json_text, to_json

texts = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=30)
plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
        texts,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=20,
)


def struct_of(value: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(value)
    return struct


@given(st.dictionaries(st.sampled_from("abc"), plain, max_size=3))
def test_what_is_sent_is_what_is_stored(value: dict[str, Any]) -> None:
    stored = to_json(struct_of(value), max_depth=64, at="payload")
    assert stored == value
    assert types_of(stored) == types_of(value)


def types_of(value: Any) -> Any:
    """Whole numbers are integers, whatever they were."""
    if isinstance(value, dict):
        return {key: types_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [types_of(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int
    return type(value)


def nested(levels: int) -> Struct:
    struct = Struct()
    inner = struct
    for _ in range(levels - 1):
        inner = inner.fields["a"].struct_value
        inner.SetInParent()
    return struct


def test_depth_is_counted_in_objects_and_lists() -> None:
    assert to_json(nested(5), max_depth=5, at="p") == {"a": {"a": {"a": {"a": {}}}}}
    with pytest.raises(InvalidFields) as caught:
        to_json(nested(6), max_depth=5, at="p")
    assert caught.value.field == "p.a.a.a.a.a"
    struct = Struct()
    struct.update({"a": [[[1]]]})
    assert to_json(struct, max_depth=4, at="p") == {"a": [[[1]]]}
    with pytest.raises(InvalidFields):
        to_json(struct, max_depth=3, at="p")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_has_not(number: float) -> None:
    with pytest.raises(InvalidFields) as caught:
        to_json(struct_of({"a": [0, {"b": number}]}), max_depth=9, at="p")
    assert caught.value.field == "p.a[1].b"


def test_numbers_beyond_exactness_stay_floats() -> None:
    stored = to_json(struct_of({"a": 2.0**53, "b": 2.0**54, "c": -0.0}), max_depth=9, at="p")
    assert [type(stored[key]) for key in "abc"] == [int, float, int]


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    struct = Struct()
    from_json_text(text, struct)
    Struct.FromString(struct.SerializeToString())


@pytest.mark.parametrize("levels", [1, DEEPEST_ANSWER - 1, DEEPEST_ANSWER, DEEPEST_ANSWER + 1, 500, 5000])
def test_any_depth_can_be_read_by_clients(levels: int) -> None:
    struct = Struct()
    from_json_text('{"a":' * levels + "1" + "}" * levels, struct)
    Struct.FromString(struct.SerializeToString())


def test_values_for_which_there_is_no_room_are_refused() -> None:
    payload = struct_of({"a": [1, {"b": 2}], "c": 3})
    assert to_json(payload, max_depth=9, at="p", room=Room(5)) == {"a": [1, {"b": 2}], "c": 3}
    with pytest.raises(InvalidFields):
        to_json(payload, max_depth=9, at="p", room=Room(4))
    # Of all that it is given for.
    room = Room(9)
    to_json(payload, max_depth=9, at="p", room=room)
    with pytest.raises(InvalidFields):
        to_json(payload, max_depth=9, at="p", room=room)
