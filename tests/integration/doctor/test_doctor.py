"""`taskgate doctor` on real servers: all well, each thing that may be wrong, and nothing that is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from typer.testing import CliRunner

from contracts.world import Servers
from deploy.local.ports import free_port
from gateway.cli.main import app
from gateway.storage.database import Database

NAMES = [
    *("settings", "database", "schema", "redis", "temporal", "clock", "flags", "leases", "duties", "dead letters"),
    "workers",
]
PROCESS = """
INSERT INTO taskgate.process (process_id, kind, host, pid, version, lock_key, renewed_at)
VALUES ($1, $2, 'here', 1, $3, $4, now() - make_interval(secs => $5))
"""


@pytest.fixture(autouse=True)
def settings(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_DATABASE_URL", servers.database_url)
    monkeypatch.setenv("TASKGATE_REDIS_URL", str(servers.redis_url))
    monkeypatch.setenv("TASKGATE_TEMPORAL_ADDRESS", str(servers.temporal_address))
    monkeypatch.setenv("TASKGATE_TEMPORAL_NAMESPACE", servers.temporal_namespace)
    monkeypatch.setenv("TASKGATE_FLAGS_FILE", str(tmp_path / "flags.json"))
    monkeypatch.delenv("TASKGATE_LAUNCHDARKLY_SDK_KEY", raising=False)


@pytest_asyncio.fixture
async def gateway_alive(database: Database) -> None:
    await database.execute(PROCESS, "gateway-1", "gateway", "1.0", 1, 0.0)


async def examined(code: int) -> dict[str, dict[str, Any]]:
    result = await asyncio.to_thread(CliRunner().invoke, app, ["doctor", "--json"])
    assert result.exit_code == code, result.output
    answer = json.loads(result.stdout)
    verdicts = [check["verdict"] for check in answer["checks"]]
    assert answer["status"] == next(one for one in ("failed", "warning", "ok") if one in verdicts)
    return {check["name"]: check for check in answer["checks"]}


async def test_all_is_well(gateway_alive: None) -> None:
    found = await examined(0)
    assert list(found) == NAMES
    assert {name: check for name, check in found.items() if check["verdict"] != "ok"} == {}
    assert all(check["remedy"] is None for check in found.values())
    assert "standalone activities" in found["temporal"]["told"]
    assert found["leases"]["told"] == "1 gateway, 0 workers"


async def test_a_line_each(gateway_alive: None) -> None:
    result = await asyncio.to_thread(CliRunner().invoke, app, ["doctor"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == len(NAMES)
    assert all(line.startswith("ok ") for line in lines)


async def test_nothing_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("TASKGATE_DATABASE_URL", f"postgresql://someone:hidden@{nobody}/memstack")
    monkeypatch.setenv("TASKGATE_REDIS_URL", f"redis://:hidden@{nobody}/0")
    monkeypatch.setenv("TASKGATE_TEMPORAL_ADDRESS", nobody)
    found = await examined(1)
    assert [(name, check["verdict"]) for name, check in found.items()] == [
        ("settings", "ok"),
        *((name, "failed") for name in ("database", "redis", "temporal")),
    ]
    assert "TASKGATE_DATABASE_URL" in found["database"]["remedy"]
    assert "hidden" not in str(found)


async def test_settings_that_cannot_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_HTTP_PORT", "many")
    found = await examined(1)
    assert list(found) == ["settings"]
    assert "TASKGATE_HTTP_PORT" in found["settings"]["told"]


async def test_a_schema_that_is_behind(database: Database, gateway_alive: None) -> None:
    await database.execute("UPDATE taskgate.alembic_version SET version_num = '0260_recovery'")
    found = await examined(1)
    assert found["schema"]["verdict"] == "failed"
    assert found["schema"]["remedy"] == "run `taskgate db migrate`"
    await database.execute("UPDATE taskgate.alembic_version SET version_num = '9999_later'")
    assert (await examined(0))["schema"]["verdict"] == "warning"


async def test_a_database_that_was_not_migrated(database: Database) -> None:
    await database.execute("DROP SCHEMA taskgate CASCADE")
    found = await examined(1)
    assert list(found) == ["settings", "database", "schema", "redis", "temporal"]
    assert "taskgate db migrate" in found["schema"]["remedy"]


@pytest_asyncio.fixture
async def forgetful(redis_server: str) -> AsyncIterator[None]:
    async with Redis.from_url(redis_server) as redis:
        await redis.config_set("maxmemory", "200mb")
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        yield
        await redis.config_set("maxmemory", "0")
        await redis.config_set("maxmemory-policy", "noeviction")


async def test_a_redis_that_forgets(forgetful: None, gateway_alive: None) -> None:
    found = (await examined(1))["redis"]
    assert "allkeys-lru" in found["told"]
    assert "noeviction" in found["remedy"]


async def test_a_temporal_without_the_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_TEMPORAL_NAMESPACE", "nowhere")
    found = (await examined(1))["temporal"]
    assert "nowhere" in found["told"]
    assert "TASKGATE_TEMPORAL_NAMESPACE" in found["remedy"]


async def test_a_temporal_without_standalone_activities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_TEMPORAL_STANDALONE_ACTIVITIES", "false")
    found = (await examined(0))["temporal"]
    assert found["verdict"] == "warning"
    assert "workflow of one activity" in found["told"]


async def test_a_flag_file_that_is_none(tmp_path: Path, gateway_alive: None) -> None:
    (tmp_path / "flags.json").write_text("{")
    found = (await examined(1))["flags"]
    assert found["verdict"] == "failed"
    assert str(tmp_path / "flags.json") in found["told"] + found["remedy"]


async def test_leases(database: Database) -> None:
    assert "nobody starts tasks" in (await examined(0))["leases"]["told"]
    await database.execute(PROCESS, "gateway-1", "gateway", "1.0", 1, 0.0)
    await database.execute(PROCESS, "worker-1", "worker", "1.1", 2, 0.0)
    found = (await examined(0))["leases"]
    assert found["told"] == "1 gateway, 1 worker; releases differ: 1 of 1.0, 1 of 1.1"
    await database.execute(PROCESS, "worker-2", "worker", "1.1", 3, 600.0)
    assert "late to renew: worker-2 on here" in (await examined(0))["leases"]["told"]


async def test_duties(database: Database, gateway_alive: None, monkeypatch: pytest.MonkeyPatch) -> None:
    duty = "INSERT INTO taskgate.engine_duty (backend, kind, subject, failures) VALUES ($1, 'release', 'w', $2)"
    await database.execute(duty, "temporal", 3)
    assert "1 for temporal" in (await examined(0))["duties"]["told"]
    monkeypatch.delenv("TASKGATE_TEMPORAL_ADDRESS")
    assert "not configured here: 1 for temporal" in (await examined(0))["duties"]["told"]


async def test_dead_letters_that_grow(database: Database, gateway_alive: None) -> None:
    dead = """
    INSERT INTO taskgate.dead_letter (id, kind, reason, died_at)
    SELECT $1 || n, 'task', 'tried', now() - make_interval(hours => $2) FROM generate_series(1, $3) AS n
    """
    await database.execute(dead, "old", 2, 46)
    await database.execute(dead, "new", 0, 2)
    assert (await examined(0))["dead letters"]["verdict"] == "ok"
    await database.execute(dead, "newer", 0, 1)
    found = (await examined(0))["dead letters"]
    assert found["told"] == "49 open, 3 of them of the last hour (2.0 an hour before)"


async def test_work_that_nobody_does(gateway_alive: None, new_task: Any) -> None:
    await new_task(backend="temporal", queue="shared-probe")
    found = (await examined(0))["workers"]
    assert found["verdict"] == "warning"
    assert "no live worker serves" in found["told"]
