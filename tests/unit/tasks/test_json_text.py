"""What `decode_json` refuses, and what it must let through unchanged."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from gateway.tasks.json_text import decode_json, repeated_fields

DEPTH = 64


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xed\xa0\x80"}',
        b"\xff\xfe",
        b'{"a": "\x00"}',
        b'{"a": "\\u0000"}',
        b'{"\\u0000": 1}',
        b'[{"a": ["x", {"b": "c\\u0000"}]}]',
        b'{"a": 123456789012345678901234567890}',
        b'{"a": 18446744073709551616}',
        b'{"a": -9223372036854775809}',
        b'{"a": ' + b"9" * 5000 + b"}",
        nested(DEPTH + 1),
        nested(2000),
        b'{"a":' * 100 + b"1" + b"}" * 100,
        b"[" * 100_000,
        b"{} {}",
    ],
)
def test_refused(body: bytes) -> None:
    with pytest.raises(json.JSONDecodeError):
        decode_json(body, max_depth=DEPTH)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": "\\\\u0000"}', {"a": "\\u0000"}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'{"a": 18446744073709551615}', {"a": 18446744073709551615}),
        (b'{"a": -9223372036854775808}', {"a": -9223372036854775808}),
        (b'{"a": "123456789012345678901234567890"}', {"a": "123456789012345678901234567890"}),
        (b'{"a": 0.12345678901234567890123}', {"a": 0.12345678901234567890123}),
        (b"\xef\xbb\xbf{}", {}),
        (b"null", None),
        (b'{"brackets": "' + b"[{" * 500 + b'"}', {"brackets": "[{" * 500}),
        (b"[" + b"[]," * 500 + b"[]]", [[]] * 501),
    ],
)
def test_let_through(body: bytes, value: Any) -> None:
    assert decode_json(body, max_depth=DEPTH) == value


def test_the_deepest_allowed_level() -> None:
    decode_json(nested(DEPTH), max_depth=DEPTH)
    decode_json(b'{"a":' * DEPTH + b"1" + b"}" * DEPTH, max_depth=DEPTH)


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (b'{"a": 1, "a": 2}', [("a",)]),
        (b'{"options": {"a": 1, "b": 0, "a": 2}}', [("options", "a")]),
        (b'{"l": [{}, [{"a": {"b": 1, "b": 1}}]]}', [("l", 1, 0, "a", "b")]),
        (b'[{"a": 1, "a": 2}, {"a": 1}]', [(0, "a")]),
        (b'{"a": {"x": 1, "x": 2}, "a": {"y": 1, "y": 2}}', [("a",), ("a", "x"), ("a", "y")]),
        (b'\xef\xbb\xbf{"a": 1, "\\u0061": 2}', [("a",)]),
        (b'{"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 1}]}', []),
        (b'{"a": "{\\"b\\": 1, \\"b\\": 2}", "c": "http://x:1"}', []),
        (b'"a: b"', []),
        (b'{"a": "\\u003a", "b": 1, "b": 2}', [("b",)]),
        (b'{"a": "\\u003A\\u003a", "b": ":", "b": ":"}', [("b",)]),
        (b'{"a": 1.0e2, "b": ":\\n\\"\\\\:", "c": {"\\u0061:": ":"}}', []),
        (b"[" * 400 + b'{"a": 1, "a": 2}' + b"]" * 400, [(*[0] * 400, "a")]),
    ],
)
def test_fields_given_twice(body: bytes, paths: list[Any]) -> None:
    assert repeated_fields(body, orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))) == paths


def test_a_hundred_are_named() -> None:
    body = b'{"l": [' + b",".join([b'{"a": 1, "a": 2}'] * 5000) + b"]}"
    assert len(repeated_fields(body, orjson.loads(body))) == 100
