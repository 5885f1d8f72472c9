"""Bodies made to cost much: beside each, whatever its key, other requests have their turn."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.heartbeat import largest_hold
from contracts.least import least
from gateway.access.keys import create_key
from gateway.bootstrap import build_gateway
from gateway.serve import spare_the_collector
from gateway.settings import Settings
from gateway.storage.database import Database

pytestmark = pytest.mark.system

#: The loop is never held for longer than this (seconds).
LONGEST_HOLD = 0.05
#: Takes of the least that was seen; a busy machine holds everybody now and then.
TRIES = 5

EPISODES, TASKS, BATCH = "/api/v1/episodes/", "/gateway/v1/tasks", "/gateway/v1/tasks/batch"
MEGABYTE = 1024 * 1024


def nested(size: int) -> bytes:
    """Arrays in arrays, and a number that has to be looked at."""
    row = b"[" * 30 + b"]" * 30 + b","
    return b'{"content": [' + row * (size // len(row)) + b"12345678901234567890]}"


def fields(size: int) -> bytes:
    """Fields that no body has."""
    return b"{" + b",".join(b'"delay%d":0' % n for n in range(size // 16)) + b"}"


def task(value: bytes) -> bytes:
    return b'{"type": "a", "payload": {"x": ' + value + b"}}"


def batch(each: bytes, size: int, most: int = 10_000) -> bytes:
    return b'{"mode": "each", "tasks": [' + b",".join([each] * min(most, size // (len(each) + 1))) + b"]}"


WORST = {
    "nested": (EPISODES, nested(8 * MEGABYTE), 422),
    "nested, not so large": (EPISODES, nested(250_000), 422),
    "nested schedule": ("/gateway/v1/schedules", nested(8 * MEGABYTE), 422),
    "nested batch": (BATCH, nested(8 * MEGABYTE), 422),
    "nested operation": ("/gateway/v1/operations", nested(8 * MEGABYTE), 422),
    "unknown fields": (TASKS, fields(8 * MEGABYTE), 422),
    "unknown fields, not so many": (TASKS, fields(1_200_000), 422),
    "few unknown fields": (TASKS, fields(150_000), 422),
    "many values": (TASKS, task(b"[" + b"{}," * 49_000 + b"0]"), 202),
    "a long text": (EPISODES, b'{"content": "' + "é".encode() * (4 * MEGABYTE) + b'"}', 202),
    "quotes without end": (EPISODES, b'{"content": "' + b'\\"' * (4 * MEGABYTE), 422),
    "a batch of unknown fields": (BATCH, batch(b'{"type": "a", "delayy": 1, "lables": 2}', 8 * MEGABYTE), 202),
    "a batch of long texts": (BATCH, batch(task(b'"' + b"x" * (4 * MEGABYTE) + b'"'), 60 * MEGABYTE), 202),
    "a batch of many tasks": (BATCH, batch(task(b"1"), 8 * MEGABYTE), 202),
    "no JSON": (EPISODES, b"[" * (8 * MEGABYTE), 422),
}


@pytest.fixture
async def port(serve_http: Any, database: Database, key: str) -> AsyncIterator[int]:
    settings = Settings(database_url=database.url, grpc_enabled=False)
    async with serve_http(build_gateway(settings, engines={})) as port:
        # The children are there.
        await asyncio.to_thread(send, port, EPISODES, key, b'{"content": "' + b"a" * 300_000 + b'"}')
        spare_the_collector()
        yield port
        gc.unfreeze()
        spare_the_collector()


def send(port: int, path: str, key: str, body: bytes) -> int:
    """The status of the answer; in a thread, so that the client takes nothing of the loop's time."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(head.encode())
        connection.sendall(body)
        return int(connection.recv(65536).split()[1])


@pytest.mark.parametrize("name", WORST)
async def test_it_is_answered_and_holds_nobody(port: int, key: str, name: str) -> None:
    path, body, status = WORST[name]

    async def hold() -> float:
        gc.collect()
        sending = asyncio.ensure_future(asyncio.to_thread(send, port, path, key, body))
        held = await largest_hold(sending)
        assert await sending == status
        return held

    assert await least(hold, LONGEST_HOLD, TRIES) < LONGEST_HOLD


@pytest.mark.parametrize("path", [EPISODES, "/gateway/v1/schedules", BATCH])
async def test_with_a_wrong_key_it_is_not_read(port: int, path: str) -> None:
    async def hold() -> float:
        sending = asyncio.ensure_future(asyncio.to_thread(send, port, path, create_key(), nested(8 * MEGABYTE)))
        held = await largest_hold(sending)
        assert await sending == 401
        return held

    assert await least(hold, LONGEST_HOLD, TRIES) < LONGEST_HOLD


async def test_values_of_a_large_body_arrive_unchanged(client: Any, task_of: Any) -> None:
    payload = {"text": 'a"[{\\' * 100_000, "number": 2**64 - 1, "list": [[], {}, None, 1.5]}
    answer = await client.post(TASKS, content=json.dumps({"type": "a", "payload": payload}))
    assert answer.status_code == 202, answer.text
    stored = (await task_of(answer.json()["task_id"]))["payload"]
    assert {name: stored[name] for name in payload} == payload


async def test_a_large_body_says_what_is_wrong_with_it(client: Any) -> None:
    answer = await client.post(TASKS, json={"type": "a", "payload": {"x": "a" * 300_000}, "delay": 1})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["loc"], error["msg"]) == (
        ["body", "delay"],
        "There is no such field; perhaps `delay_seconds` is meant",
    )


ROW = """
INSERT INTO task_logs (id, group_id, task_type, status, payload, progress, retry_count)
VALUES ('one', 'p-ann', 'probe', 'FAILED', $1::json, 0, 0)
"""
EDIT = "INSERT INTO taskgate.payload_edit (task_id, edited_by, payload) VALUES ('one', 'ann', $1)"
LETTER = """
INSERT INTO taskgate.dead_letter (id, kind, tenant_id, group_id, reason, payload, bytes)
VALUES ('one', $1, 't-ann', 'p-ann', 'failed', $2, length($2::bytea))
"""


def get(port: int, path: str, key: str) -> bytes:
    """The answer; in a thread, as `send`."""
    head = f"GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(head.encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("kind", ["a task", "a task that was edited", "no task"])
async def test_a_large_dead_letter_holds_nobody(port: int, key: str, database: Database, kind: str) -> None:
    large = '{"a": [' + "[1,2]," * (2 * MEGABYTE // 6) + "1]}"
    if kind == "no task":
        await database.execute(LETTER, "payload", large.encode())
    else:
        await database.execute(LETTER, "task", None)
        await database.execute(ROW, large if kind == "a task" else "{}")
        await database.execute(EDIT, "{}" if kind == "a task" else large)

    shown: dict[str, Any] = {}

    async def hold() -> float:
        gc.collect()
        asking = asyncio.ensure_future(asyncio.to_thread(get, port, "/gateway/v1/dead-letters/one", key))
        held = await largest_hold(asking)
        head, _, body = (await asking).partition(b"\r\n\r\n")
        assert head.split()[1] == b"200"
        shown.update(json.loads(body))
        return held

    assert await least(hold, LONGEST_HOLD, TRIES) < LONGEST_HOLD
    text = shown["edits"][0]["payload"] if kind == "a task that was edited" else shown["payload"]
    assert text.startswith('{"a":[[1,2],[1,2],')
    assert shown["payload_is_cut"] is (kind != "a task that was edited")
