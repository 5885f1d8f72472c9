"""Rows of `task_logs` are deleted only once they are stored elsewhere."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
import pytest_asyncio
from obstore.store import S3Store

from deploy.local.gofakes3 import BUCKET, Gofakes3Part
from deploy.local.ports import free_port
from gateway.retention.destinations import Bucket, Folder
from gateway.retention.errors import ExportFailed
from gateway.retention.pace import FIRST, GOAL
from gateway.retention.periods import DAY, FOR_GOOD, Period
from gateway.retention.retention import _BEGINNING, FILE_BYTES, FILE_ROWS
from gateway.retention.statements import SQL
from gateway.storage.database import Database
from gateway.tasks.lifecycle.transitions import Transitions

DAYS = {"task_logs": Period(60)}


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def stored(folder: Path) -> list[dict[str, Any]]:
    """Every line of every file, in the order of the files' names."""
    return [json.loads(line) for path in files(folder) for line in path.read_text().splitlines()]


async def ids(database: Database) -> set[str]:
    return {row["id"] for row in await database.fetch("SELECT id FROM task_logs")}


async def test_old_rows_are_stored_and_deleted(
    database: Database, old_task: Any, retention: Any, remembered: Any, tmp_path: Path
) -> None:
    old, young = await old_task(61, payload={"content": "a\nb"}), await old_task(59)
    await database.execute("UPDATE task_logs SET result = E'{\\n\"n\": 12345678901234567890.10}' WHERE id = $1", old)
    await retention(Folder(tmp_path), **DAYS).tick()
    assert await ids(database) == {young}
    (line,) = stored(tmp_path)
    assert line["id"] == old
    assert line["status"] == "COMPLETED"
    assert line["payload"]["content"] == "a\nb"
    assert "12345678901234567890.10" in files(tmp_path)[0].read_text()
    assert await remembered() == set()


async def test_rows_of_one_file_are_deleted_at_the_same_pace(
    database: Database, old_task: Any, retention: Any, server_taking: Any, tmp_path: Path
) -> None:
    await asyncio.gather(*(old_task(99) for _ in range(60)))
    slow = server_taking(2 * GOAL)
    await retention(Folder(tmp_path), tasks=Period(1000), more=slow.more, **DAYS).tick()
    assert await ids(database) == set()
    assert len(files(tmp_path)) == 1
    assert len(stored(tmp_path)) == sum(slow.deleted["task_logs"]) == 60
    assert max(slow.deleted["task_logs"]) < FIRST


async def test_without_a_setting_nothing_is_deleted(database: Database, old_task: Any, retention: Any) -> None:
    task = await old_task(4000)
    await retention().tick()
    assert await ids(database) == {task}


async def test_what_nobody_has_finished_or_may_still_want_stays(
    database: Database, old_task: Any, retention: Any, tmp_path: Path
) -> None:
    letter, open_one = await old_task(99, state="failed"), await old_task(99, state="running")
    other = await old_task(99, tenant_id="other")
    await database.execute("INSERT INTO taskgate.dead_letter (id, kind, reason) VALUES ($1, 'task', 'expired')", letter)
    await retention(Folder(tmp_path), task_logs=Period(60, {"other": 100})).tick()
    assert await ids(database) == {letter, open_one, other}
    assert stored(tmp_path) == []


async def test_a_row_that_would_show_a_task_to_another_tenant_goes_with_its_task(
    database: Database, old_task: Any, retention: Any, remembered: Any, tmp_path: Path
) -> None:
    await old_task(99, payload={"tenant_id": "other"})
    await retention(Folder(tmp_path), **DAYS).tick()
    assert await ids(database) == await remembered() == set()
    assert len(stored(tmp_path)) == 1


async def test_a_row_from_before_the_gateway(database: Database, acme: str, retention: Any, tmp_path: Path) -> None:
    await database.execute(
        "INSERT INTO task_logs (id, group_id, status, completed_at)"
        " VALUES ('old', 'p', 'FAILED', now() - interval '99 days')"
    )
    await retention(Folder(tmp_path), task_logs=Period(1000, {acme: 60})).tick()
    assert await ids(database) == set()
    assert [line["id"] for line in stored(tmp_path)] == ["old"]


async def test_of_tenants_whose_rows_stay_no_payload_is_read(
    database: Database, acme: str, old_task: Any, retention: Any, tmp_path: Path
) -> None:
    """Both with and without the gateway's own row."""
    task, forgotten = await old_task(99), await old_task(99)
    large = {"content": secrets.token_hex(2_000_000)}
    others = [await old_task(99, tenant_id="other", payload=large) for _ in range(2)]
    for gone in (forgotten, others[1]):
        await database.execute("DELETE FROM taskgate.dispatch WHERE task_id = $1", gone)
        await database.execute("UPDATE task_logs SET payload = ltrim(payload::text, E'\\t')::json WHERE id = $1", gone)
    await database.execute(
        "INSERT INTO task_logs (id, group_id, status, completed_at)"
        " VALUES ('legacy', 'p', 'FAILED', now() - interval '99 days')"
    )
    explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + SQL.finished_logs
    read = {}
    for only in (None, [acme]):
        text = await database.fetchval(explain, *_BEGINNING, FILE_ROWS, 60 * DAY, FILE_BYTES, only)
        plan = json.loads(text)[0]["Plan"]
        read[bool(only)] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    assert read[False] > 800  # of 8 kB: 8 MB of payloads
    assert read[True] < 200

    await retention(Folder(tmp_path), tasks=Period(1000), task_logs=Period(FOR_GOOD, {acme: 60})).tick()
    assert await ids(database) == set(others)
    assert {line["id"] for line in stored(tmp_path)} == {task, forgotten, "legacy"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def test_a_full_disk(database: Database, old_task: Any, retention: Any, small_disk: Path, caplog: Any) -> None:
    """Nothing is deleted, the disk is not kept full, and the export goes on once there is room."""
    task = await old_task(99, payload={"content": "x" * 40_000})
    other_file = small_disk / "other"
    other_file.write_bytes(b"x" * 40_000)
    await retention(Folder(small_disk), **DAYS).tick()
    assert await ids(database) == {task}
    assert "No space left on device" in caplog.text
    assert files(small_disk) == [other_file]
    other_file.unlink()
    await retention(Folder(small_disk), **DAYS).tick()
    assert await ids(database) == set()
    assert [line["id"] for line in stored(small_disk)] == [task]


class Cut:
    """Stores a file, and is cut off before anybody hears of it."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    async def put(self, name: str, content: bytes) -> None:
        await self._folder.put(name, content)
        raise asyncio.CancelledError


async def test_an_export_that_was_cut_is_repeated_into_the_same_file(
    database: Database, old_task: Any, retention: Any, tmp_path: Path
) -> None:
    tasks = {await old_task(99 - n) for n in range(3)}
    with pytest.raises(asyncio.CancelledError):
        await retention(Cut(Folder(tmp_path)), **DAYS).tick()
    assert await ids(database) == tasks
    await retention(Folder(tmp_path), **DAYS).tick()
    assert await ids(database) == set()
    assert sorted(line["id"] for line in stored(tmp_path)) == sorted(tasks)


async def test_a_file_that_was_cut_in_the_middle_is_written_anew(
    database: Database, old_task: Any, retention: Any, tmp_path: Path
) -> None:
    task = await old_task(99)
    await retention(Folder(tmp_path), **DAYS).tick()
    (file,) = files(tmp_path)
    file.rename(file.with_name(f"{file.name}.part")).write_text('{"id": ')
    await Folder(tmp_path).put(str(file.relative_to(tmp_path)), b'{"id": 1}\n')
    assert stored(tmp_path) == [{"id": 1}]
    assert task not in await ids(database)


class Meanwhile:
    """While it stores the file, something happens to a row."""

    def __init__(self, folder: Folder, happens: Any) -> None:
        self._folder = folder
        self._happens = happens

    async def put(self, name: str, content: bytes) -> None:
        await self._folder.put(name, content)
        await self._happens()


class Quiet:
    def changed(self, task_id: str) -> None:
        """Nobody listens."""


async def test_a_task_that_is_retried_while_it_is_exported_stays(
    database: Database, old_task: Any, retention: Any, tmp_path: Path
) -> None:
    """The file has it, too; the line in the later file is the valid one."""
    retried, gone = await old_task(99, state="failed"), await old_task(98)
    keeper = retention(
        Meanwhile(Folder(tmp_path), lambda: Transitions(database, Quiet()).retry(retried)), tasks=Period(1000), **DAYS
    )
    await keeper.tick()
    assert await ids(database) == {retried}
    assert {line["id"] for line in stored(tmp_path)} == {retried, gone}
    assert await database.fetchval("SELECT state FROM taskgate.dispatch") == "waiting"


@pytest_asyncio.fixture(scope="session")
async def s3(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gofakes3Part]:
    part = Gofakes3Part(tmp_path_factory.mktemp("s3"), free_port(), lambda _: None)
    await part.start()
    yield part
    await part.kill()


@pytest.fixture
def variables(s3: Gofakes3Part, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "ENDPOINT_URL": s3.url,
        "ALLOW_HTTP": "true",
        "ACCESS_KEY_ID": "k",
        "SECRET_ACCESS_KEY": "s",
        "REGION": "eu",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.mark.usefixtures("variables")
async def test_a_bucket(database: Database, old_task: Any, retention: Any) -> None:
    task = await old_task(99)
    await retention(Bucket(f"s3://{BUCKET}/tasks"), **DAYS).tick()
    assert await ids(database) == set()
    store = S3Store.from_url(f"s3://{BUCKET}/tasks")
    (file,) = await obstore.list(store).collect_async()
    lines = bytes(await (await obstore.get_async(store, file["path"])).bytes_async()).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [task]


@pytest.mark.usefixtures("variables")
async def test_a_bucket_that_does_not_exist(database: Database, old_task: Any, retention: Any, caplog: Any) -> None:
    task = await old_task(99)
    with pytest.raises(ExportFailed):
        await Bucket("s3://nobodys").put("a", b"")
    await retention(Bucket("s3://nobodys"), **DAYS).tick()
    assert await ids(database) == {task}
    assert "rows of task_logs stay" in caplog.text
