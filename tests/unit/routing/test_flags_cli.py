from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.flags import flags_app
from gateway.routing.flag_file import FlagFile

Run = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "flags.json"
    monkeypatch.setenv("TASKGATE_FLAGS_FILE", str(path))
    monkeypatch.setenv("TASKGATE_REDIS_URL", "redis://unused")
    monkeypatch.setenv("TASKGATE_DATABASE_URL", "postgresql://postgres@127.0.0.1:1/none")
    for name in (
        "TASKGATE_LAUNCHDARKLY_SDK_KEY",
        "TASKGATE_TEMPORAL_ADDRESS",
        "TASKGATE_FLAG_KEY",
        "TASKGATE_API_KEY",
        "SUDO_USER",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("USER", "ada")
    return path


@pytest.fixture
def run(path: Path) -> Run:
    return lambda *arguments: CliRunner().invoke(flags_app, list(arguments))


def settings(run: Run) -> dict[str, str]:
    view = json.loads(run("show", "--json").stdout)
    found = {"default": view["default"]}
    for item in view["settings"]:
        found["/".join(filter(None, [item["tenant"], item["project"], item["type"]]))] = item["stage"]
    return found


def test_show_before_the_first_flag(run: Run) -> None:
    shown = run("show")
    assert shown.exit_code == 0, shown.output
    assert "off" in shown.stdout


def test_set_makes_the_file_and_records_who_and_why(run: Run, path: Path) -> None:
    answer = run("set", "--tenant", " acme ", "--stage", "live", "--why", "pilot")
    assert answer.exit_code == 0, answer.output
    assert "tenant acme: not set → live  (version 1, ada)" in answer.stdout
    assert "temporal is not configured in this environment" in answer.stdout
    assert settings(run) == {"default": "off", "acme": "live"}
    [change] = FlagFile(path, "task-backend").history()
    assert (change.who, change.why) == ("ada", "pilot")


def test_changes_as_json(run: Run) -> None:
    change = json.loads(run("set", "--tenant", "acme", "--stage", "live", "--why", "pilot", "--json").stdout)
    assert (change["what"], change["after"], change["version"], change["who"]) == ("tenant acme", "live", 1, "ada")
    assert "temporal is not configured in this environment" in change["notes"][0]
    change = json.loads(run("rollout", "--stage", "live", "--percent", "25", "--why", "x", "--json").stdout)
    assert change["after"] == "off 75 %, live 25 % by tenant"
    assert json.loads(run("unset", "--tenant", "acme", "--why", "x", "--json").stdout)["after"] == "not set"


def test_every_kind_of_scope(run: Run) -> None:
    for arguments in (
        ["--tenant", "acme", "--stage", "live"],
        ["--project", "p1", "--stage", "off"],
        ["--type", "backup", "--stage", "shadow"],
        ["--tenant", "acme", "--type", "backup", "--stage", "COMPLETE", "--force"],
        ["--default", "--stage", "rampdown"],
    ):
        assert run("set", *arguments, "--why", "x", "--by", "bob").exit_code == 0
    assert settings(run) == {
        "default": "rampdown",
        "acme": "live",
        "p1": "off",
        "backup": "shadow",
        "acme/backup": "complete",
    }
    shown = run("show").stdout
    assert "tenant acme, type backup  complete" in shown
    assert "by bob: default, x" in shown


def test_unset(run: Run) -> None:
    run("set", "--tenant", "acme", "--stage", "live", "--why", "x")
    assert run("unset", "--tenant", "acme", "--why", "over").exit_code == 0
    assert settings(run) == {"default": "off"}


def test_rollout(run: Run) -> None:
    assert run("rollout", "--stage", "live", "--percent", "25", "--why", "x").exit_code == 0
    assert settings(run) == {"default": "off 75 %, live 25 % by tenant"}
    assert run("rollout", "--stage", "live", "--percent", "12.5", "--by-task", "--why", "x").exit_code == 0
    assert settings(run) == {"default": "off 87.5 %, live 12.5 % by task"}
    assert run("rollout", "--stage", "live", "--percent", "50", "--why", "x").exit_code == 0
    assert settings(run) == {"default": "off 50 %, live 50 % by task"}
    assert run("rollout", "--stage", "live", "--percent", "100", "--why", "x").exit_code == 0
    assert settings(run) == {"default": "live"}


def test_history(run: Run) -> None:
    assert "nothing is recorded" in run("history").stdout
    run("set", "--tenant", "acme", "--stage", "live", "--why", "pilot")
    run("set", "--tenant", "acme", "--stage", "off", "--why", "slow")
    header, row = run("history", "--limit", "1").stdout.splitlines()
    assert header.split() == ["at", "who", "what", "before", "after", "why"]
    assert row.split()[1:] == ["ada", "tenant", "acme", "live", "off", "slow"]
    assert [change["why"] for change in json.loads(run("history", "--json").stdout)] == ["pilot", "slow"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["set", "--tenant", "acme", "--stage", "lvie", "--why", "x"], "'lvie' is not a stage; the stages are off, "),
        (["set", "--stage", "live", "--why", "x"], "say for whom: --tenant, --project, --type, --default"),
        (["set", "--tenant", "", "--stage", "live", "--why", "x"], "--tenant must not be empty"),
        (["set", "--tenant", "a", "--default", "--stage", "live", "--why", "x"], "--default does not go together"),
        (["set", "--tenant", "acme", "--stage", "live", "--why", " "], "say why"),
        (["set", "--tenant", "acme", "--stage", "live"], "--why"),
        (["unset", "--why", "x"], "say for whom: --tenant, --project, --type"),
        (["unset", "--tenant", "acme", "--why", "x"], "nothing is set for tenant acme"),
        (["rollout", "--stage", "live", "--percent", "101", "--why", "x"], "101 is not a percentage"),
        (["rollout", "--stage", "live", "--percent", "much", "--why", "x"], "Usage"),
        (["rollout", "--stage", "off", "--percent", "10", "--why", "x"], "the default is off for all already"),
    ],
)
def test_mistakes_end_with_code_2_and_say_what(run: Run, path: Path, arguments: list[str], complaint: str) -> None:
    answer = run(*arguments)
    assert answer.exit_code == 2
    assert complaint in answer.stderr
    assert not path.exists()


def test_a_malformed_file_is_refused(run: Run, path: Path) -> None:
    path.write_text("{")
    for arguments in (["show"], ["set", "--tenant", "acme", "--stage", "live", "--why", "x"]):
        answer = run(*arguments)
        assert answer.exit_code == 2
        assert f"flag file {path}: it is not JSON" in answer.stderr


def test_without_a_flag_file_the_database_holds_the_flag(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKGATE_FLAGS_FILE")
    answer = run("set", "--tenant", "acme", "--stage", "live", "--why", "x")
    assert answer.exit_code == 1
    assert answer.stderr == "error: the database is not reachable (TASKGATE_DATABASE_URL)\n"


def test_a_flag_that_launchdarkly_owns_is_not_changed_here(
    run: Run, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKGATE_LAUNCHDARKLY_SDK_KEY", "sdk-key")
    for arguments in (
        ["set", "--tenant", "acme", "--stage", "live", "--why", "x"],
        ["unset", "--tenant", "acme", "--why", "x"],
        ["rollout", "--stage", "live", "--percent", "5", "--why", "x"],
    ):
        answer = run(*arguments)
        assert answer.exit_code == 2
        assert "LaunchDarkly owns the flag" in answer.stderr
        assert "sdk-key" not in answer.output
    assert not path.exists()


def test_a_directory_that_cannot_be_written_is_one_line(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.with_name("file").write_text("")
    monkeypatch.setenv("TASKGATE_FLAGS_FILE", str(path.with_name("file") / "flags.json"))
    answer = run("set", "--tenant", "acme", "--stage", "live", "--why", "x")
    assert answer.exit_code == 1
    assert answer.stderr.count("\n") == 1
