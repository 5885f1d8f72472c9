"""What of a payload is hidden, by name and by path."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.dead_letters.editing import merge_patch
from gateway.settings import Settings
from gateway.tasks.redaction import LONGEST_TEXT, MARK, Redaction, beginning, holds_mark, shown


@pytest.mark.parametrize(
    ("rules", "value", "expected"),
    [
        (
            ["password"],
            {"Password": "x", "my-password": 1, "passwords": 2},
            {"Password": MARK, "my-password": MARK, "passwords": 2},
        ),
        (["api_key"], {"X-Api-Key": "x", "apiKey": "x", "key": "k"}, {"X-Api-Key": MARK, "apiKey": MARK, "key": "k"}),
        (["token"], {"token": None, "deep": [{"token": {"a": 1}}]}, {"token": None, "deep": [{"token": MARK}]}),
        (["$.a.b"], {"a": {"b": 1, "c": 2}, "b": 3}, {"a": {"b": MARK, "c": 2}, "b": 3}),
        (["$.a[*].b"], {"a": [{"b": 1}, {"c": 2}]}, {"a": [{"b": MARK}, {"c": 2}]}),
        (["$.a[1]"], {"a": [1, 2, 3]}, {"a": [1, MARK, 3]}),
        (["$.*.b"], {"x": {"b": 1}, "y": {"b": 2}, "b": 3}, {"x": {"b": MARK}, "y": {"b": MARK}, "b": 3}),
        ([], {"password": "x"}, {"password": "x"}),
        (["password"], ["password", 1], ["password", 1]),
    ],
)
def test_rules(rules: list[str], value: Any, expected: Any) -> None:
    assert Redaction.of(rules).apply(value) == expected
    assert holds_mark(Redaction.of(rules).apply(value)) is (MARK in str(expected))


@pytest.mark.parametrize("rule", ["", "--", "$", "$.", "$a", "$.a[", "$.a[x]", "$.a..b"])
def test_rules_that_name_nothing_are_refused_at_start_up(rule: str) -> None:
    with pytest.raises(ValueError, match="no"):
        Redaction.of([rule])
    with pytest.raises(ValidationError):
        Settings(redact=[rule])


@pytest.mark.parametrize(
    "text",
    [
        '{"password": "hunter2", ',
        "{'password': 'hunter2'",
        "password=hunter2&x=1",
        "PASSWORD: hunter2",
        '{"my_password":"hun\\"ter2"',
        '{"password": "hunter2',
    ],
)
def test_texts_that_are_no_json(text: str) -> None:
    hidden = shown(text, Redaction.of(["password"]))
    assert MARK in hidden
    assert "ter2" not in hidden


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1, "token": {"x": 1, "y": "s3"}, "b": ', f'{{"a": 1, "token": {MARK}'),
        ('{"a": 1, "token": ["r", "s3"], "b": ', f'{{"a": 1, "token": {MARK}'),
        ("Authorization: Bearer s3\nnext", f"Authorization: {MARK}"),
        ("private_key=-----BEGIN KEY-----\nq, s3\n", f"private_key={MARK}"),
        ("token: |\n  s3", f"token: {MARK}"),
        ('{"token": "a"s3", "b": 1', f'{{"token": {MARK}'),
        ('{"token": "a", s3", "b": 1', f'{{"token": {MARK}'),
        ('{"token": "a\\\ns3", "b": 1', f'{{"token": {MARK}, "b": 1'),
        ('{"log": "{\\"token\\": \\"r s3\\"}', f'{{"log": "{{\\"token\\": {MARK}'),
        ("<token>s3</token>", f"<token>{MARK}"),
        ('{"Private Key": "s3", "n": 1', f'{{"Private Key": {MARK}, "n": 1'),
        ('{"token": 5, "n": 1', f'{{"token": {MARK}, "n": 1'),
        ('{"tokens": 5, "n": 1', '{"tokens": 5, "n": 1'),
        ('{"token": "s3"}, "n": 1', f'{{"token": {MARK}}}, "n": 1'),
    ],
)
def test_the_end_of_a_value_in_a_text_that_is_no_json(text: str, expected: str) -> None:
    """Where it cannot be told, nothing more is shown."""
    assert shown(text, Redaction.of(["token", "authorization", "private_key"])) == expected


def test_a_text_in_which_paths_cannot_be_followed_is_not_shown() -> None:
    assert shown('{"user": {"email": "a@b.c"', Redaction.of(["$.user.email"])) == MARK


def test_a_long_text_is_cut() -> None:
    assert len(shown("x" * 10_000, Redaction.of(["password"]))) == LONGEST_TEXT


def test_the_beginning_of_large_json_hides_what_the_whole_hides() -> None:
    value = {
        "user": {"email": "a@b.c", "name": "Zo\u00eb"},
        "credentials": {"login": "x", "pin": "1234"},
        "token": ["a", "bbb"],
        "odd": "\ud800",
        "text": "x" * 10_000,
    }
    found = beginning(json.dumps(value).encode(), Redaction.of(["credentials", "token", "$.user.email"]))
    assert found.startswith(
        f'{{"user":{{"email":"{MARK}","name":"Zo\u00eb"}},"credentials":"{MARK}","token":"{MARK}",'
        '"odd":"\\ud800","text":"xxx'
    )
    assert len(found.encode()) < 2 * LONGEST_TEXT


@pytest.mark.parametrize(
    "raw", [b'{"token": {"a": "s3"', b'{"token": ' + b"[" * 200_000 + b'"s3"', b'\xff{"token": ["s3"']
)
def test_the_beginning_of_what_is_no_json(raw: bytes) -> None:
    found = beginning(raw, Redaction.of(["token"]))
    assert found.endswith(f'{{"token": {MARK}')
    assert "s3" not in found


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": {"b": 1}}, {"a": {"c": None, "d": 2}}, {"a": {"b": 1, "d": 2}}),
        ({"a": [1]}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": {"b": 1}}, {"a": [None]}, {"a": [None]}),
        ({}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
    ],
)
def test_merge_patch(before: dict[str, Any], patch: dict[str, Any], after: dict[str, Any]) -> None:
    """Examples of RFC 7396."""
    original = json.dumps(before)
    assert merge_patch(before, patch) == after
    assert json.dumps(before) == original
