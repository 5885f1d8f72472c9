"""`taskgate release` and `taskgate db` as a program calls them: the answer is JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app


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


async def test_the_database(database) -> None:
    revision = await database.fetchval("SELECT version_num FROM taskgate.alembic_version")
    assert await json_of("db", "migrate") == {"revision": revision}
    assert await json_of("db", "legacy") == {"created": False}
    assert await json_of("db", "legacy", "--create") == {"created": True}
    keys = await json_of("db", "seed")
    assert [name for name in keys if not keys[name]] == []
