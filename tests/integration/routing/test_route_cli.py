from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from gateway.cli.route import route_app
from gateway.routing.flag_edit import new_flag, with_rollout, with_stage
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.storage.database import Database

Run = Callable[..., Awaitable[Result]]
KEY = "task-backend"


@pytest.fixture
def run(command_line: Run) -> Run:
    """Runs `taskgate route …`."""
    return partial(command_line, route_app)


def write_flag(directory: Path, flag: dict[str, Any]) -> None:
    (directory / "flags.json").write_text(json.dumps({"flags": {KEY: flag}}))


async def explained(run: Run, *arguments: str) -> dict[str, Any]:
    answer = await run("explain", "--type", "add_episode", "--json", *arguments)
    assert answer.exit_code == 0, answer.output
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


async def test_the_flag_and_the_tier_are_explained(run: Run, tmp_path: Path) -> None:
    clause = {"contextKind": "tenant", "attribute": "tier", "op": "in", "values": ["enterprise"]}
    write_flag(tmp_path, new_flag(KEY) | {"rules": [{"id": "r", "variation": 4, "clauses": [clause]}]})
    answer = await explained(run, "--tenant", "acme", "--project", "p1", "--task", "t1")
    assert answer["tier"] == "enterprise"
    assert answer["plan"] == "Enterprise"
    assert (answer["backend"], answer["stage"], answer["effective"]) == ("temporal", "rampdown", "rampdown")
    assert answer["reason"] == "rule 0: tenant tier enterprise: rampdown"
    assert answer["flag"]["reason"] == {"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "r"}
    assert (answer["usable"], answer["problems"], answer["notes"]) == (True, [], [])
    assert (await explained(run, "--tenant", "initech"))["backend"] == "redis"


async def test_in_words(run: Run, tmp_path: Path) -> None:
    write_flag(tmp_path, with_stage(new_flag(KEY), Scope("acme"), Stage.RAMPDOWN))
    answer = await run("explain", "--tenant", "acme", "--type", "add_episode")
    assert answer.exit_code == 0
    assert answer.stdout.splitlines() == [
        "tenant acme (enterprise), type add_episode → temporal",
        "  stage     rampdown",
        "  because   individual target: tenant acme",
        f"  flag      file {tmp_path / 'flags.json'}",
        "  backend   configured",
    ]


async def test_an_unknown_tenant_is_a_mistake(run: Run) -> None:
    answer = await run("explain", "--tenant", "acmee", "--type", "add_episode")
    assert answer.exit_code == 2
    assert answer.stderr == "error: there is no tenant 'acmee'\n"


async def test_a_project_of_somebody_else_is_noted(run: Run) -> None:
    assert (await explained(run, "--tenant", "initech", "--project", "p1"))["notes"] == [
        "project p1 belongs to tenant acme"
    ]
    assert (await explained(run, "--tenant", "acme", "--project", "nope"))["notes"] == ["there is no project 'nope'"]


async def test_without_a_file_everybody_is_off(run: Run) -> None:
    answer = await explained(run, "--tenant", "acme")
    assert (answer["backend"], answer["source"]) == ("redis", "default")
    assert "does not exist yet" in answer["reason"]


async def test_a_malformed_file_is_said(run: Run, tmp_path: Path) -> None:
    write_flag(tmp_path, {"key": KEY})
    answer = await explained(run, "--tenant", "acme")
    assert answer["source"] == "default"
    assert "the flag has no variations; every tenant is at stage off" in answer["reason"]


async def test_without_a_file_the_last_known_flag_is_explained(run: Run, tmp_path: Path, database: Database) -> None:
    document = {"flags": {KEY: with_stage(new_flag(KEY), Scope("acme"), Stage.LIVE)}, "segments": {}}
    await database.execute(
        "INSERT INTO taskgate.flag_last_known (flag_key, source, version, document) VALUES ($1, 'file', '7', $2)",
        KEY,
        json.dumps(document),
    )
    answer = await explained(run, "--tenant", "acme")
    assert (answer["backend"], answer["source"], answer["reason"]) == (
        "temporal",
        "flag",
        "individual target: tenant acme",
    )
    [problem] = answer["problems"]
    assert "there is no flag; the last known flag stays in force (version 7 of file, recorded at 2" in problem


async def test_a_percentage_by_task_is_said_to_depend_on_the_task(run: Run, tmp_path: Path) -> None:
    write_flag(tmp_path, with_rollout(new_flag(KEY), Stage.LIVE, 50, by="task", seed=1))
    assert "name one with --task" in (await explained(run, "--tenant", "acme"))["notes"][0]
    assert (await explained(run, "--tenant", "acme", "--task", "t1"))["notes"] == []


async def test_a_backend_that_is_not_configured_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TASKGATE_TEMPORAL_ADDRESS")
    write_flag(tmp_path, with_stage(new_flag(KEY), Scope("acme"), Stage.LIVE))
    answer = await explained(run, "--tenant", "acme")
    assert answer["usable"] is False
    assert answer["problem"] == "stage live asks for temporal, which is not configured here; its tasks wait"
    other = await explained(run, "--tenant", "initech")
    assert other["usable"] is True
    assert "stage live (tenant acme) asks for temporal" in other["problems"][0]


async def test_without_a_database_it_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    answer = await explained(run, "--tenant", "acme")
    assert answer["tier"] == "standard"
    assert answer["notes"] == [
        "the database is not reachable: the tier is taken as standard, overrides are not looked at"
    ]
    assert (await run("override", "list")).stderr.startswith("error: the database is not reachable")


async def test_overrides_from_set_to_clear(run: Run, tmp_path: Path, database: Database) -> None:
    write_flag(tmp_path, with_stage(new_flag(KEY), Scope("acme"), Stage.LIVE))
    answer = await run("override", "set", "--tenant", "acme", "--stage", "off", "--why", "errors", "--minutes", "30")
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.startswith("tenant acme: off, until 20")
    explanation = await explained(run, "--tenant", "acme")
    assert (explanation["backend"], explanation["source"], explanation["flag"]["says"]) == ("redis", "override", "live")
    assert explanation["override"]["by"] == "ada"
    listed = json.loads((await run("override", "list", "--json")).stdout)
    assert [(row["tenant"], row["stage"], row["why"]) for row in listed] == [("acme", "off", "errors")]
    again = await run("override", "set", "--tenant", "acme", "--stage", "shadow", "--why", "calm", "--json")
    assert (json.loads(again.stdout)["tenant"], json.loads(again.stdout)["stage"]) == ("acme", "shadow")
    cleared = await run("override", "clear", "--tenant", "acme", "--why", "over", "--json")
    assert json.loads(cleared.stdout) == {"tenant": "acme", "project": None, "type": None}
    assert "no overrides" in (await run("override", "list")).stdout
    assert (await run("override", "clear", "--tenant", "acme", "--why", "over")).exit_code == 2
    assert await database.fetchval("SELECT count(*) FROM taskgate.audit WHERE actor = 'ada'") == 3


async def test_the_kill_switch_for_all(run: Run) -> None:
    answer = await run("override", "set", "--all", "--stage", "off", "--why", "incident", "--by", "bob")
    assert answer.stdout.startswith("everything: off, until it is cleared, by bob (incident)")
    assert (await explained(run, "--tenant", "initech"))["source"] == "override"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["set", "--stage", "off", "--why", "x"], "say for whom: --tenant, --project, --type, --all"),
        (["set", "--all", "--tenant", "a", "--stage", "off", "--why", "x"], "--all does not go together with --tenant"),
        (["set", "--all", "--stage", "of", "--why", "x"], "'of' is not a stage"),
        (["set", "--all", "--stage", "off", "--why", " "], "say why"),
        (["set", "--all", "--stage", "off", "--why", "x", "--minutes", "0"], "--minutes must be more than 0"),
        (["clear", "--why", "x"], "say for whom"),
    ],
)
async def test_mistakes_end_with_code_2(run: Run, arguments: list[str], complaint: str) -> None:
    answer = await run("override", *arguments)
    assert answer.exit_code == 2
    assert complaint in answer.stderr


async def test_what_legacy_workers_cannot_is_said(run: Run, tmp_path: Path, database: Database) -> None:
    write_flag(tmp_path, new_flag(KEY))
    [missing] = (await explained(run, "--tenant", "acme"))["cannot"]
    assert "priority" in missing
    assert missing in (await run("explain", "--tenant", "acme", "--type", "add_episode")).output
    await database.execute(
        "INSERT INTO taskgate.process (process_id, kind, backend, host, pid, version, lock_key)"
        " VALUES ('w', 'worker', 'redis', 'h', 1, '1', 1)"
    )
    assert (await explained(run, "--tenant", "acme"))["cannot"] == []
