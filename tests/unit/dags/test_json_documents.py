"""A definition that comes as JSON is refused for what it is refused for as YAML."""

from __future__ import annotations

import json

import pytest

from gateway.dags.checking import Source
from gateway.dags.document import DEEPEST
from gateway.dags.errors import DagInvalid, Fault
from gateway.dags.limits import Limits
from gateway.errors import InvalidRequest


def read(text: str, *, is_json: bool) -> object:
    return Source(text.encode(), is_json).document(Limits()).data


def faults(text: str, *, is_json: bool) -> list[Fault]:
    with pytest.raises(DagInvalid) as caught:
        read(text, is_json=is_json)
    return caught.value.faults


def with_input(value: str) -> str:
    return f'{{"nodes": {{"a": {{"type": "import", "input": {{"x": {value}}}}}}}}}'


def nested(levels: int) -> str:
    """As deep as that, with the four levels around an input."""
    return with_input("[" * (levels - 4) + "]" * (levels - 4))


@pytest.mark.parametrize("is_json", [True, False])
@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ('{"description": "a\\u0000b", "nodes": {"a": {"type": "import"}}}', "syntax", "NUL characters"),
        (with_input('{"a\\u0000": 1}'), "syntax", "NUL characters"),
        (nested(DEEPEST + 1), "too_deep", "nested deeper than 64 levels"),
        (nested(300), "too_deep", "nested deeper than 64 levels"),
        (with_input("123456789012345678901234567890"), "syntax", "64"),
        (with_input("-9223372036854775809"), "syntax", "64"),
    ],
    ids=["NUL", "NUL in a key", "one level too many", "300 levels", "a large integer", "a small integer"],
)
def test_what_could_not_be_kept(text: str, code: str, message: str, *, is_json: bool) -> None:
    (fault,) = faults(text, is_json=is_json)
    assert fault.code == code
    assert message in fault.message


@pytest.mark.parametrize("is_json", [True, False])
def test_fields_that_stand_there_twice(*, is_json: bool) -> None:
    text = '{"nodes": {"a": {"type": "t"}, "a": {"type": "u"}, "b": {"input": {"x/y": [{"k": 1, "k": 1}], "x/y": 2}}}}'
    found = faults(text, is_json=is_json)
    assert {fault.code for fault in found} == {"duplicate_key"}
    assert {"/nodes/a", "/nodes/b/input/x~1y"} <= {fault.place for fault in found}
    assert "'x/y' stands here twice" in {fault.message for fault in found}


@pytest.mark.parametrize("is_json", [True, False])
def test_what_can_be_kept_is(*, is_json: bool) -> None:
    for text in (nested(DEEPEST), with_input("18446744073709551615"), with_input('"a: b"')):
        assert read(text, is_json=is_json) == json.loads(text)


def test_what_is_no_json() -> None:
    with pytest.raises(InvalidRequest, match=r"The body is not JSON: .*line 1 column 2"):
        read("{", is_json=True)
