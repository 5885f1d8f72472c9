"""A flag file that no running gateway follows: a change of it says so."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.flags import flags_app
from gateway.storage.database import Database
from workers.testing.waiting import eventually

SET = ["set", "--default", "--stage", "off", "--why", "x"]


@pytest.fixture
def said(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """What a change of a file says on standard error."""
    monkeypatch.setenv("TASKGATE_DATABASE_URL", database_url)
    monkeypatch.setenv("TASKGATE_REDIS_URL", "redis://unused")
    monkeypatch.delenv("TASKGATE_LAUNCHDARKLY_SDK_KEY", raising=False)
    monkeypatch.chdir(tmp_path)

    async def run(file: str) -> str:
        monkeypatch.setenv("TASKGATE_FLAGS_FILE", file)
        answer = await asyncio.to_thread(CliRunner().invoke, flags_app, SET)
        assert answer.exit_code == 0, answer.output
        return answer.stderr

    return run


async def test_a_change_that_no_gateway_follows_is_warned_of(
    serving: Any, said: Callable[[str], Any], database: Database, database_url: str, redis_server: str, tmp_path: Path
) -> None:
    file, other = tmp_path / "flags.json", tmp_path / "other.json"
    assert await said(str(file)) == (
        f"warning: no gateway is running that follows file {file} (TASKGATE_FLAGS_FILE): the change has no effect yet\n"
    )

    async def gateways() -> int:
        live = "SELECT count(*) FROM taskgate.process WHERE kind = 'gateway' AND renewed_at <> '-infinity'"
        return int(await database.fetchval(live))

    async with serving(database_url, redis_server, FLAGS_FILE=str(file)) as (process, _):
        assert await eventually(gateways, bool) == 1
        assert await said("flags.json") == ""
        assert await said(str(other)) == (
            f"warning: no running gateway follows file {other}, but file {file} (TASKGATE_FLAGS_FILE):"
            " the change has no effect yet\n"
        )
        process.send_signal(signal.SIGTERM)
        await process.wait()
    assert await eventually(gateways, lambda count: not count) == 0
    assert "no gateway is running" in await said("flags.json")
