"""`taskgate release` and `taskgate db` as a program calls them: the answer is JSON."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.conftest import PROGRAM


async def json_of(*words: str) -> Any:
    result = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def _settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_DATABASE_URL", database_url)
    monkeypatch.delenv("TASKGATE_REDIS_URL", raising=False)


async def test_release(new_task) -> None:
    await new_task()
    assert await json_of("release", "--dry-run") == {"rows": 1, "living": []}
    assert await json_of("release", "--yes") == {"rows": 1, "pushed": 0, "left": []}
    assert await json_of("release", "--yes") == {"rows": 0, "pushed": 0, "left": []}


#: What a release changes.
ROWS = "SELECT t.status, t.worker_id, d.state, d.phase FROM task_logs t JOIN taskgate.dispatch d ON d.task_id = t.id"


@pytest.mark.parametrize("answer", ["n\n", "\n", ""], ids=["no", "nothing", "no terminal"])
async def test_it_asks_and_without_a_yes_changes_nothing(new_task, database, answer: str) -> None:
    await new_task()
    before = await database.fetch(ROWS)
    result = await asyncio.to_thread(CliRunner().invoke, app, ["release"], input=answer)
    assert result.exit_code == 1
    assert "Give 1 waiting tasks back to the legacy system? [y/N]" in result.output
    assert await database.fetch(ROWS) == before


async def test_it_does_it_after_a_yes(new_task, database) -> None:
    await new_task()
    result = await asyncio.to_thread(CliRunner().invoke, app, ["release"], input="y\n")
    assert result.exit_code == 0, result.output
    assert "Give 1 waiting tasks back to the legacy system? [y/N]" in result.output
    assert "1 waiting tasks given back to the legacy queue" in result.output
    assert await database.fetchval("SELECT status FROM task_logs") == "PENDING"


async def test_the_question_is_not_in_the_json(new_task) -> None:
    """As a process: click's runner writes what is typed into the output."""
    await new_task()
    process = await asyncio.create_subprocess_exec(PROGRAM, "release", "--json", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    output, errors = await process.communicate(b"y\n")
    assert process.returncode == 0, errors
    assert json.loads(output) == {"rows": 1, "pushed": 0, "left": []}
    assert errors.startswith(b"Give 1 waiting tasks back to the legacy system? [y/N]")


async def test_beside_living_processes_it_is_refused_before_it_asks(new_task, new_worker, database) -> None:
    await new_task()
    process_id = await new_worker()
    before = await database.fetch(ROWS)
    for words in (["release"], ["release", "--yes"]):
        result = await asyncio.to_thread(CliRunner().invoke, app, words, input="y\n")
        assert result.exit_code == 1
        assert "[y/N]" not in result.output
        assert process_id in result.stderr
        assert "stop them first, or insist with --force" in result.stderr
    assert await database.fetch(ROWS) == before
    result = await asyncio.to_thread(CliRunner().invoke, app, ["release", "--force"], input="y\n")
    assert (result.exit_code, "[y/N]" in result.output) == (0, True)


async def test_the_database(database) -> None:
    revision = await database.fetchval("SELECT version_num FROM taskgate.alembic_version")
    assert await json_of("db", "migrate") == {"revision": revision}
    assert await json_of("db", "legacy") == {"created": False}
    assert await json_of("db", "legacy", "--create") == {"created": True}
    keys = await json_of("db", "seed")
    assert [name for name in keys if not keys[name]] == []
