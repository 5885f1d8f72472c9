"""Payloads of the legacy wire: what is written, what is understood, and what is no task."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.errors import StartRefused
from backends.port import WorkflowRef
from backends.redis_queue import wire

REF = WorkflowRef("task-1", 3, "group-1", "add_episode")

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_written_as_a_legacy_producer_writes() -> None:
    raw = wire.encode(REF, {"group_id": "group-1", "name": "Ü"}, now=1700000000.5)
    assert raw == (
        b'{"task_type": "add_episode", "task_id": "task-1", "group_id": "group-1", "name": "\\u00dc", '
        b'"timestamp": 1700000000.5, "dispatch_epoch": 3}'
    )


def test_the_group_is_added_where_the_type_expects_it() -> None:
    assert json.loads(wire.encode(REF, {}))["group_id"] == "group-1"
    rebuild = json.loads(wire.encode(WorkflowRef("t", 1, "g", "rebuild_communities"), {"group_id": "g"}))
    assert rebuild["task_group_id"] == "g"
    assert "group_id" not in rebuild


def test_the_types_are_the_contracts() -> None:
    limits = {name: spec.timeout.total_seconds() for name, spec in wire.TYPES.items()}
    assert limits == {
        "add_episode": 600,
        "rebuild_communities": 3600,
        "incremental_refresh": 3600,
        "deduplicate_entities": 1800,
    }
    assert wire.TYPES["rebuild_communities"].keys == ("task_group_id",)
    assert "uuid" in wire.TYPES["add_episode"].keys


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes"])
def test_what_json_cannot_express_is_refused_for_good(value: object) -> None:
    with pytest.raises(StartRefused, match="task-1"):
        wire.encode(REF, {"content": value})


def test_a_payload_that_contains_itself_is_refused_for_good() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    with pytest.raises(StartRefused):
        wire.encode(REF, loop)


@given(st.dictionaries(st.text(min_size=1), _json, max_size=5))
def test_what_is_written_is_read_back(payload: dict[str, Any]) -> None:
    own = ("task_type", "task_id", "timestamp", "dispatch_epoch", "dispatch_trace")
    payload = {key: value for key, value in payload.items() if key not in own}
    message = wire.decode(wire.encode(REF, payload))
    assert (message.task_id, message.task_type, message.epoch) == ("task-1", "add_episode", 3)
    assert {key: message.payload[key] for key in payload} == payload
    assert "dispatch_epoch" not in message.payload


def test_a_legacy_payload_has_no_epoch_and_keeps_its_keys() -> None:
    body = {"task_type": "t", "task_id": "i", "timestamp": 1.5, "anything": [1]}
    message = wire.decode(json.dumps(body).encode())
    assert message.epoch is None
    assert message.payload == body


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"1" * 5000, "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"task_type": "t"}', "task_id is missing"),
        (b'{"task_id": null, "task_type": "t"}', "task_id is missing"),
        (b'{"task_id": 7, "task_type": "t"}', "task_id is not a string"),
        (b'{"task_id": "", "task_type": "t"}', "task_id is empty"),
        (b'{"task_id": "a\\u0000b", "task_type": "t"}', "task_id is empty, too long or contains NUL"),
        (b'{"task_id": "\\ud800", "task_type": "t"}', "task_id contains a lone surrogate"),
        (b'{"task_id": "' + b"x" * 1001 + b'", "task_type": "t"}', "task_id is empty, too long"),
        (b'{"task_id": "i"}', "task_type is missing"),
        (b'{"task_id": "i", "task_type": ["t"]}', "task_type is not a string"),
        (b'{"task_id": "i", "task_type": "t", "dispatch_epoch": "1"}', "dispatch_epoch is not a positive number"),
        (b'{"task_id": "i", "task_type": "t", "dispatch_epoch": 0}', "dispatch_epoch is not a positive number"),
        (b'{"task_id": "i", "task_type": "t", "dispatch_epoch": true}', "dispatch_epoch is not a positive number"),
        (b'{"task_id": "i", "task_type": "t", "dispatch_epoch": 1.0}', "dispatch_epoch is not a positive number"),
        (
            b'{"task_id": "i", "task_type": "t", "dispatch_epoch": 4294967296}',
            "dispatch_epoch is not a positive number",
        ),
    ],
)
def test_what_is_no_task_is_named(raw: bytes, reason: str) -> None:
    with pytest.raises(wire.NotATask, match=f"^{reason}"):
        wire.decode(raw)


@pytest.mark.parametrize(("opens", "closes"), [(b"[", b"]"), (b'{"a": ', b"}")])
def test_depth(opens: bytes, closes: bytes) -> None:
    """What the gateway pushes itself was read and written by it already."""

    def deep(levels: int, more: bytes = b"") -> bytes:
        inner = opens * levels + b"7" + closes * levels
        return b'{"task_id": "i", "task_type": "t", "wide": [' + b"[]," * 1000 + b'[]], "x": ' + inner + more + b"}"

    assert wire.decode(deep(450)).task_id == "i"
    with pytest.raises(wire.NotATask, match="nested too deeply"):
        wire.decode(deep(550))
    assert wire.decode(deep(550, b', "dispatch_epoch": 1')).epoch == 1


@given(st.binary() | _json.map(lambda value: json.dumps(value).encode()))
def test_nothing_else_ever_comes_out_of_foreign_bytes(raw: bytes) -> None:
    try:
        message = wire.decode(raw)
    except wire.NotATask:
        return
    assert message.task_id
    assert message.task_type


def test_why_never_quotes_what_was_found() -> None:
    with pytest.raises(wire.NotATask) as raised:
        wire.decode(b'{"task_id": ["secret words"], "task_type": "t"}')
    assert "secret" not in str(raised.value)
    with pytest.raises(wire.NotATask) as raised:
        wire.decode(b"secret words")
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_number_that_is_none_is_kept_as_legacy_keeps_it() -> None:
    message = wire.decode(b'{"task_id": "i", "task_type": "t", "similarity_threshold": NaN}')
    assert math.isnan(message.payload["similarity_threshold"])


def test_the_trace_travels_beside_the_payload() -> None:
    trace = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    raw = wire.encode(REF, {"group_id": "group-1", "dispatch_trace": "a client's"}, trace=trace)
    assert json.loads(raw)["dispatch_trace"] == trace
    assert list(json.loads(raw))[-2:] == ["timestamp", "dispatch_epoch"]  # where the scripts look for them
    message = wire.decode(raw)
    assert message.trace == trace
    assert "dispatch_trace" not in message.payload
    assert "dispatch_trace" not in json.loads(wire.encode(REF, {}))


@pytest.mark.parametrize("trace", [None, 1, "x", [1], {"traceparent": 5}])
def test_a_trace_that_somebody_broke_is_none(trace: object) -> None:
    body = {"task_type": "t", "task_id": "i", "dispatch_trace": trace}
    assert wire.decode(json.dumps(body).encode()).trace == {}
