"""An option that is given has an effect or is refused, also when it is empty, as an unset variable of a shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.unit.cli.parsing import command_of
from tests.unit.cli.recording import Asked, recording
from tests.unit.cli.test_walk import single_commands

Words = tuple[str, ...]

#: They ask no gateway.
LOCAL = {
    *(("db", name) for name in ("migrate", "legacy", "seed")),
    *(("recover", name) for name in ("list", "start", "drop")),
    *(("codec-server",), ("doctor",), ("release",), ("serve",), ("settings",), ("simulate",), ("worker",)),
    ("route", "explain"),
    ("migration", "ledger", "expire"),
    ("migration", "plan", "new"),
}
#: What they are asked for, where nothing is no answer: other options are added to it.
WITH: dict[Words, Words] = {
    ("callback", "resend"): ("--dead",),
    ("dead-letter", "dismiss"): ("--all",),
    ("dead-letter", "purge"): ("--all",),
    ("dead-letter", "redrive"): ("--all",),
    ("flags", "set"): ("--based-on", "1", "--stage", "live", "--tenant", "x"),
    ("flags", "unset"): ("--based-on", "1", "--tenant", "x"),
    ("flags", "rollout"): ("--based-on", "1", "--stage", "live"),
    ("flags", "import"): ("--based-on", "1"),
    ("migration", "parity"): ("--tenant", "x"),
    ("route", "override", "set"): ("--based-on", "1", "--stage", "live", "--tenant", "x"),
    ("route", "override", "clear"): ("--based-on", "1", "--tenant", "x"),
    ("resume",): ("x",),
    ("task", "bulk"): ("--yes",),
    ("task", "submit"): ("--type", "x"),
}
#: They say what becomes of the answer: how it is shown or reckoned with, and whether a command asks or waits.
AFTERWARDS = {
    *("as_json", "_as_json", "follow", "wait", "watch", "yes"),
    *("slots_per_worker", "smallest", "largest", "utilisation"),
}
#: No gateway is asked.
ELSEWHERE = {"local"}
#: What a command asks without the options that are looked at.
HELD: dict[Words, list[Asked]] = {}


def _id(part: Words | str) -> str:
    return part if isinstance(part, str) else " ".join(part)


def options() -> Iterator[tuple[Words, str]]:
    """Each option that may be left out, of each command that asks a gateway."""
    for words in single_commands():
        if words in LOCAL:
            continue
        for one in command_of(words)[0].params:
            is_free = one.param_type_name == "option" and not one.required and one.name != "help"
            if is_free and one.name not in AFTERWARDS | ELSEWHERE and one.opts[0] not in WITH.get(words, ()):
                yield words, one.name


def base_of(words: Words, file: Path) -> list[str]:
    """The least that a command has to be given."""
    line = list(WITH.get(words, ()))
    for one in command_of(words)[0].params:
        if one.required and one.opts[0] not in line:
            line += [*([one.opts[0]] if one.param_type_name == "option" else []), value_of(one, file)]
    return line


def value_of(one: Any, file: Path) -> str:
    kind = one.bare_type()
    if kind in ("int", "float"):
        return str((one.default or 0) + 1)
    return str(file) if kind == "Path" else "x"


@pytest.fixture(scope="module")
def gateway() -> Iterator[tuple[str, list[Asked]]]:
    with recording() as found:
        yield found


@pytest.fixture
def ask(gateway: tuple[str, list[Asked]], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command: its exit code, and what it asked the gateway first."""
    url, asked = gateway
    monkeypatch.setenv("TASKGATE_URL", url)
    monkeypatch.setenv("TASKGATE_API_KEY", "k")

    def run(*line: str) -> tuple[int, list[Asked]]:
        asked.clear()
        done = CliRunner().invoke(app, line)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, asked[:1]

    return run


@pytest.mark.parametrize(("words", "name"), options(), ids=_id)
def test_it_has_an_effect_or_is_refused(ask: Any, tmp_path: Path, words: Words, name: str) -> None:
    file = tmp_path / "file.json"
    file.write_text('{"name": "x"}')
    base = base_of(words, file)
    if words not in HELD:
        HELD[words] = ask(*words, *base)[1]
        assert len(HELD[words]) == 1
    [option] = [one for one in command_of(words)[0].params if one.name == name]
    if option.is_flag:
        given = [option.secondary_opts[0] if option.default is True else option.opts[0]]
    elif option.bare_type() in ("str", "list[str]"):
        given = [option.opts[0], ""]
    else:
        given = [option.opts[0], value_of(option, file)]
    code, asked = ask(*words, *base, *given)
    assert code == 2
    assert asked != HELD[words]


def names() -> Iterator[tuple[Words, str]]:
    """Each text that has to be given, of each command that asks a gateway."""
    for words in single_commands():
        for one in command_of(words)[0].params if words not in LOCAL else ():
            if one.required and one.bare_type() == "str":
                yield words, one.name


@pytest.mark.parametrize(("words", "name"), names(), ids=_id)
def test_an_empty_name_is_the_address_of_nothing_else(ask: Any, tmp_path: Path, words: Words, name: str) -> None:
    file = tmp_path / "file.json"
    file.write_text('{"name": "x"}')
    line = list(WITH.get(words, ()))
    for one in command_of(words)[0].params:
        if one.required:
            value = "" if one.name == name else value_of(one, file)
            line += [*([one.opts[0]] if one.param_type_name == "option" else []), value]
    code, asked = ask(*words, *line)
    assert code == 2
    assert [path for _, path, _, _ in asked if "//" in path or path.partition("?")[0].endswith("/")] == []


@pytest.mark.parametrize("option", ["--type", "--payload", "--tenant", "--label", "--delay", "--existing"])
def test_beside_a_file_of_tasks_it_is_refused(ask: Any, tmp_path: Path, option: str) -> None:
    file = tmp_path / "tasks.json"
    file.write_text("[]")
    assert ask("task", "submit", "--file", str(file), "--each", "--idempotency-key", "k")[1] != []
    value = {"--existing": [], "--delay": ["1"]}.get(option, [""])
    assert ask("task", "submit", "--file", str(file), option, *value) == (2, [])
