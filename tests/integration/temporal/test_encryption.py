"""With a codec Temporal stores nothing that a client or a handler wrote, and keys are rotated without losing a task."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from contracts.probes import BOARD
from contracts.world import PATIENCE, Servers, World
from deploy.local.pytest_stack import Stacks
from deploy.local.temporal_config import MAIN_DATABASE, VISIBILITY_DATABASE
from gateway.settings import Settings
from workers.testing.waiting import until

_COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = 'public' AND data_type IN ('bytea', 'text', 'character varying', 'jsonb')
"""


def key_line(key_id: str) -> str:
    return f"{key_id} {base64.b64encode(secrets.token_bytes(32)).decode()}\n"


class KeyedWorld(World):
    """Gateway and workers read the keys of payloads from a file each; without keys nothing is encrypted."""

    def __init__(self, servers: Servers, directory: Path, keys: str | None) -> None:
        super().__init__("live", servers, directory)
        self.gateway_keys, self.worker_keys = directory / "gateway.keys", directory / "worker.keys"
        self._is_encrypted = keys is not None
        for file in (self.gateway_keys, self.worker_keys):
            file.write_text(keys or "")

    def settings(self, **more: Any) -> Settings:
        if not self._is_encrypted:
            return super().settings(**more)
        # The gateway is built first, the workers after it.
        file = self.worker_keys if hasattr(self, "gateway") else self.gateway_keys
        return super().settings(**{"temporal_codec_keys_file": file, **more})


@pytest.fixture
async def world(request: pytest.FixtureRequest, own_servers: Servers, tmp_path: Path) -> AsyncIterator[KeyedWorld]:
    keys = None if request.param == "clear" else key_line("k1")
    async with KeyedWorld(own_servers, tmp_path, keys).running() as world:
        yield world


encrypted = pytest.mark.parametrize("world", ["encrypted"], indirect=True)


@pytest.fixture
async def temporal_postgres(stacks: Stacks) -> str:
    """The server that holds what Temporal stores."""
    return (await stacks.shared("temporal")).database_url


async def places_of(needle: str, server: str) -> set[str]:
    """Tables of Temporal that hold this text, in whatever column."""
    found = set()
    for database in (MAIN_DATABASE, VISIBILITY_DATABASE):
        db = await asyncpg.connect(urlunsplit(urlsplit(server)._replace(path=f"/{database}")))
        try:
            for table, column in await db.fetch(_COLUMNS):
                held = f"position($1::bytea IN convert_to({column}::text, 'UTF8'))"
                is_bytes = await db.fetchval(
                    "SELECT data_type = 'bytea' FROM information_schema.columns"
                    " WHERE table_schema = 'public' AND table_name = $1 AND column_name = $2",
                    table,
                    column,
                )
                if is_bytes:
                    held = f"position($1::bytea IN {column})"
                if await db.fetchval(f"SELECT EXISTS (SELECT FROM {table} WHERE {held} > 0)", needle.encode()):
                    found.add(table)
        finally:
            await db.close()
    return found


@pytest.mark.parametrize("world", ["clear", "encrypted"], indirect=True)
async def test_what_clients_and_handlers_write_is_not_stored_by_temporal(
    world: KeyedWorld, temporal_postgres: str, request: pytest.FixtureRequest
) -> None:
    is_encrypted = request.node.callspec.params["world"] == "encrypted"
    home, canary = await world.people.household(), f"canary-{secrets.token_hex(8)}"
    client = world.client(home.owner)
    failing = await world.submit(home, f"fatal {canary}-failed", labels={"note": canary})
    waiting = await world.submit(home, f"hold {canary}")
    run = await client.put(
        "/gateway/v1/dags/secret",
        content=f"nodes: {{a: {{type: contract_probe, input: {{do: 'report', note: '{canary}-node'}}}}}}",
        headers={"Content-Type": "application/yaml"},
    )
    assert run.status_code == 201, run.text
    begun = await client.post("/gateway/v1/dag-runs", json={"dag": "secret", "project_id": home.project_id})
    assert begun.status_code == 202, begun.text
    assert (await world.ended(begun.json()["run_id"]))["status"] == "COMPLETED"
    failed = await world.ended(failing)
    assert failed["status"] == "FAILED"
    assert f"{canary}-failed" in failed["error_message"]
    assert bool(await places_of(canary, temporal_postgres)) != is_encrypted
    BOARD.release_all()
    assert (await world.ended(waiting))["status"] == "COMPLETED"


@encrypted
async def test_a_new_key_encrypts_and_the_old_one_still_decrypts(world: KeyedWorld) -> None:
    home = await world.people.household()
    old = await world.submit(home, "later 1")  # goes back to Temporal, and is decrypted again after the rotation
    new_key = key_line("k2")
    for file in (world.worker_keys, world.gateway_keys):  # first all can read it, then it is used
        file.write_text(file.read_text() + new_key)
    for file in (world.worker_keys, world.gateway_keys):
        first, second = file.read_text().splitlines(keepends=True)
        file.write_text(second + first)
    new = await world.submit(home)
    for task_id in (old, new):
        assert (await world.ended(task_id))["status"] == "COMPLETED"
        assert BOARD.runs[task_id] == (2 if task_id == old else 1)


@encrypted
async def test_a_task_waits_for_a_key_that_its_worker_does_not_have(
    world: KeyedWorld, caplog: pytest.LogCaptureFixture
) -> None:
    home, keys = await world.people.household(), world.gateway_keys.read_text()
    world.worker_keys.write_text(key_line("other"))
    task_id = await world.submit(home)
    await until(lambda: "'k1', which this process does not have" in caplog.text, within=PATIENCE)
    await world.queued(task_id)
    assert BOARD.runs[task_id] == 0
    world.worker_keys.write_text(keys)
    assert (await world.ended(task_id))["status"] == "COMPLETED"
    assert BOARD.runs[task_id] == 1
