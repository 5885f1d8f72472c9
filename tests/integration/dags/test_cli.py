"""`taskgate dag`, against a running gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from contracts.dag_world import Dags
from gateway.cli.main import app

Command = Callable[..., Awaitable[Result]]

TEXT = """name: greet
params: {who: {type: string}}
nodes:
  ok: {approval: {message: go?}}
  hello: {type: dag_echo, needs: [ok], input: {value: "hello ${ params.who }"}}
"""


@pytest.fixture
def taskgate(dags: Dags, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("TASKGATE_URL", dags.world.url)
    monkeypatch.setenv("TASKGATE_API_KEY", dags.home.owner.key)

    async def call(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, ["dag", *arguments])

    return call


async def test_from_a_file_to_the_end_of_a_run(dags: Dags, taskgate: Command, tmp_path: Path) -> None:
    file = tmp_path / "greet.yaml"
    file.write_text(TEXT)
    checked = await taskgate("validate", str(file), "--any-types")
    assert (checked.exit_code, "valid, 2 nodes" in checked.output) == (0, True), checked.output
    assert "greet@1 (new, 2 nodes)" in (await taskgate("apply", str(file), "--any-types")).output
    file.write_text(TEXT.replace("hello $", "good day $"))
    assert "greet@2" in (await taskgate("apply", str(file), "--any-types", "--label", "polite")).output
    assert '+ /nodes/hello/input/value: "good day' in (await taskgate("diff", "greet", "1")).output
    assert "version 1" in (await taskgate("rollback", "greet", "1")).output
    assert json.loads((await taskgate("rollback", "greet", "1", "--json")).stdout)["version"] == 1
    assert "1 *" in (await taskgate("versions", "greet")).output
    assert [one["version"] for one in json.loads((await taskgate("versions", "greet", "--json")).stdout)] == [2, 1]
    assert "greet" in [one["name"] for one in json.loads((await taskgate("list", "--json")).stdout)]
    assert "greet" in (await taskgate("list")).output
    assert "good day" in (await taskgate("show", "greet", "--version", "polite")).output

    started = await taskgate("run", "greet", "-p", "who=Zoë", "--project", dags.home.project_id)
    run_id = started.output.strip()
    await dags.until(run_id, "ok", "waiting")
    assert "waits for approval" in (await taskgate("status", run_id)).output
    approved = await taskgate("approve", run_id, "ok", "--comment", "fine", "--json")
    assert (approved.exit_code, json.loads(approved.stdout)["run_id"]) == (0, run_id), approved.output
    watched = await taskgate("watch", run_id)
    assert watched.exit_code == 0, watched.output
    assert watched.output.rstrip().endswith("completed")
    assert "hello: completed" in watched.output
    assert "completed" in (await taskgate("runs", "greet")).output
    ended = json.loads((await taskgate("watch", run_id, "--json")).stdout)
    assert (ended["run_id"], ended["status"]) == (run_id, "completed")
    assert [one["run_id"] for one in json.loads((await taskgate("runs", "greet", "--json")).stdout)] == [run_id]


async def test_faults_stand_with_their_lines(taskgate: Command, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("nodes:\n  a: {type: nope, needs: [b]}\n")
    checked = await taskgate("validate", str(file))
    assert checked.exit_code == 2
    assert f"{file}:2:7: there is no task type 'nope'" in checked.output
    applied = await taskgate("apply", str(file))
    assert applied.exit_code == 2
    assert "line 2: there is no node 'b'" in applied.output + applied.stderr


async def test_answers_that_a_person_can_act_on(dags: Dags, taskgate: Command) -> None:
    gone = await taskgate("run", "nothing")
    assert gone.exit_code == 2
    assert "There is no such DAG" in gone.output + gone.stderr
    assert (await taskgate("cancel", "no-such-run")).exit_code == 2
