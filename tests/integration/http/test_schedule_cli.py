"""`taskgate schedule …` against a gateway on a real port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner

from deploy.local.ports import free_port
from gateway.app import create_app
from gateway.bootstrap import build_gateway
from gateway.cli.main import app
from gateway.settings import Settings
from gateway.storage.database import Database
from workers.testing.waiting import until

Command = Callable[..., Any]


@pytest.fixture
async def command(database: Database, key: str) -> AsyncIterator[Command]:
    """Runs the command with ann's key; gives exit code and output."""
    gateway = build_gateway(Settings(database_url=database.url), engines={})
    server = uvicorn.Server(uvicorn.Config(create_app(gateway), port=(port := free_port()), log_level="error"))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    environment = {"TASKGATE_URL": f"http://127.0.0.1:{port}", "TASKGATE_API_KEY": key}

    async def run(*words: str) -> tuple[int, str]:
        result = await asyncio.to_thread(CliRunner().invoke, app, ["schedule", *words], env=environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    yield run
    server.should_exit = True
    await serving


async def test_the_commands(command: Command, tmp_path: Any) -> None:
    code, text = await command(
        *("create", "--name", "nightly", "--type", "probe", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin"),
        *("--payload", '{"a": 1}', "--project", "p-ann", "--overlap", "allow_all"),
    )
    assert code == 0, text
    schedule = text.split()[0]
    assert text.count("T02:30:00+0") == 3
    shown = json.loads((await command("show", schedule))[1])
    assert (shown["action"]["payload"], shown["action"]["project_id"]) == ({"a": 1}, "p-ann")
    assert (await command("pause", schedule, "--note", "audit")) == (0, "paused\n")
    code, text = await command("list")
    assert code == 0
    assert all(word in text for word in (schedule, "nightly", "30 2 * * *", "paused", "audit"))
    assert (await command("next", schedule, "--count", "2"))[1].count("T02:30:00") == 2
    assert (await command("run", schedule))[1].startswith("fired ")
    assert (await command("run", schedule, "--overlap", "skip"))[0] == 3
    backfill = ("backfill", schedule, "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-03T12:00:00Z")
    assert (await command(*backfill)) == (0, "3 of 3 times will be fired; the others have their task\n")
    assert (await command("resume", schedule))[1].startswith("next: ")
    code, text = await command("history", schedule)
    assert (code, text.count("manual"), text.count("backfill")) == (0, 2, 3)
    shown = json.loads((await command("pause", schedule, "--json"))[1])
    assert (shown["schedule_id"], shown["paused"]) == (schedule, True)
    assert json.loads((await command("resume", schedule, "--json"))[1])["paused"] is False
    assert json.loads((await command("run", schedule, "--json"))[1])["outcome"] == "fired"
    assert json.loads((await command(*backfill, "--json"))[1]) == {"times": 3, "noted": 0}
    assert len(json.loads((await command("next", schedule, "--count", "2", "--json"))[1])) == 2
    assert (await command("delete", schedule)) == (0, "deleted\n")
    assert (await command("show", schedule)) == (2, "error: Schedule not found\n")

    definition = tmp_path / "schedule.json"
    definition.write_text(json.dumps({"specs": [{"calendar": {"hour": 4}}], "action": {"type": "probe"}}))
    code, text = await command("create", "--file", str(definition), "--name", "from a file", "--every", "60")
    assert code == 0, text
    assert "calendar; every 60 s" in (await command("list"))[1]


async def test_mistakes_are_one_line(command: Command) -> None:
    never = ("create", "--name", "n", "--type", "probe", "--cron", "0 0 30 2 *")
    assert await command(*never) == (2, "error: specs.0 never fires: bad day-of-month\n")
    code, text = await command("create", "--name", "n", "--type", "probe", "--cron", "@daily", "--overlap", "maybe")
    assert (code, text.count("\n")) == (2, 1)
    assert "overlap" in text
    assert (await command("create", "--payload", "[]"))[0] == 2
    assert (await command("create", "--file", "/nowhere"))[0] == 2
