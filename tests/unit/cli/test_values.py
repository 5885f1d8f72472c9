"""Values that JSON does not have, and files that are not what they should be: one line, and no traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.cli.yaml_text import name_in, yaml_value
from tests.unit.cli.recording import recording

#: What was typed, and what the answer says.
REFUSED = [
    ("task submit --type a --delay nan", "write finite numbers"),
    ("task submit --type a --ttl inf", "write finite numbers"),
    ('task submit --type a --payload {"x":NaN}', "there is no NaN"),
    ("task submit --type a --idempotency-key Zoë", "plain texts"),
    ("keys rotate k1 --overlap inf", "write finite numbers"),
    ("callback secret --tenant acme --rotate --overlap nan", "write finite numbers"),
    ("dag run nightly -p x=.nan", "write finite numbers"),
    ("dag run nightly -p x=!!binary aGk=", "plain texts"),
    ("dag signal run-1 go .inf", "write finite numbers"),
]


@pytest.mark.parametrize(("line", "says"), REFUSED, ids=[line for line, _ in REFUSED])
def test_what_json_does_not_have_is_one_line(monkeypatch: pytest.MonkeyPatch, line: str, says: str) -> None:
    with recording() as (url, asked):
        monkeypatch.setenv("TASKGATE_URL", url)
        done = CliRunner().invoke(app, _words(line))
    assert (done.exit_code, done.stderr.count("\n"), asked) == (2, 1, []), done
    assert says in done.stderr


@pytest.mark.parametrize("text", ["2026-03-01", "2026-02-30", "2026-03-01T04:05:06Z", "null", "[1, {a: 2026-01-01}]"])
def test_a_parameter_is_read_as_a_definition_is(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A date is a text, whether there is such a day or not."""
    expected = {"null": None, "[1, {a: 2026-01-01}]": [1, {"a": "2026-01-01"}]}.get(text, text)
    with recording() as (url, asked):
        monkeypatch.setenv("TASKGATE_URL", url)
        CliRunner().invoke(app, ["dag", "run", "nightly", "-p", f"day={text}"])
        CliRunner().invoke(app, ["dag", "signal", "run-1", "go", text])
    assert asked[0][2]["params"] == {"day": expected}
    assert asked[1][2] == expected


@pytest.mark.parametrize("words", [("dag", "apply"), ("migration", "plan", "put")], ids=" ".join)
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("name: nightly\nday: 2026-02-30\n", "nightly"),
        ("name: 2026-03-01\n", "2026-03-01"),
        ("name: nightly\nday: !!timestamp 2026-02-30\n", "file"),
        ("name: [\n", "file"),
        ("[" * 5000, "file"),
    ],
    ids=["day", "date", "tag", "syntax", "deep"],
)
def test_a_file_is_sent_whatever_is_in_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...], text: str, name: str
) -> None:
    """The gateway says what is wrong with it."""
    file = tmp_path / "file.yaml"
    file.write_text(text)
    with recording() as (url, asked):
        monkeypatch.setenv("TASKGATE_URL", url)
        done = CliRunner().invoke(app, [*words, str(file)])
    assert isinstance(done.exception, SystemExit), done.exception
    assert [path.partition("?")[0].rpartition("/")[2] for _, path, _, _ in asked] == [name]


@pytest.mark.parametrize(("part", "value"), [("specs", {}), ("specs", None), ("action", "x"), ("action", None)])
def test_a_schedule_s_file_has_to_fit_its_options(tmp_path: Path, part: str, value: Any) -> None:
    file = tmp_path / "schedule.json"
    file.write_text(json.dumps({part: value}))
    done = CliRunner().invoke(app, ["schedule", "create", "--file", str(file), "--cron", "@daily"])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done
    assert f'"{part}" in {file} is no' in done.stderr


def test_what_is_no_yaml() -> None:
    for text in ("[", "*no", "!!timestamp 2026-02-30", "0x_"):
        with pytest.raises(ValueError, match=r"not YAML|range|literal"):
            yaml_value(text)
    assert name_in(b"\xff\xfe") is None


def _words(line: str) -> list[str]:
    """Only the last word of a line has spaces."""
    words = line.split(" ")
    at = next((index for index, word in enumerate(words) if "!!" in word), len(words))
    return [*words[:at], *([" ".join(words[at:])] if words[at:] else [])]
