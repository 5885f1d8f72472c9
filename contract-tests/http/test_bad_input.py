"""What cannot be a request: 422 or 413, as JSON, and never 500; nothing of it is stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from contracts.endpoints import LISTS, WITH_BODY, Endpoint, body_of
from contracts.people import Household
from contracts.shapes import DETAIL, INVALID, check
from contracts.stages import AT_ONE_STAGE
from contracts.world import World

BODIES = {
    "nothing": b"",
    "half": b'{"content": "x"',
    "not JSON": b"content=x",
    "not UTF-8": b'{"content": "\xff"}',
    "NUL": b'{"content": "a\\u0000b", "title": "\\u0000", "project_id": "p", "operations": ["\\u0000"]}',
    "NUL in a name": b'{"content": "x", "title": "t", "metadata": {"\\u0000": 1}, "episode_uuids": ["\\u0000"]}',
    "lone surrogate": b'{"content": "\\ud800", "title": "t", "operations": ["\\udfff"], "episode_uuids": ["\\ud800"]}',
    "array": b"[]",
    "text": b'"content"',
    "number": b"7",
    "deep array": b"[" * 100_000,
    "deep object": b'{"metadata":' * 100 + b"{}" + b"}" * 100,
    "deep and closed": b"[" * 5000 + b"]" * 5000,
    "NaN": b'{"content": NaN, "similarity_threshold": NaN}',
    "Infinity": b'{"content": Infinity, "similarity_threshold": -Infinity}',
    "huge number": b'{"content": "x", "metadata": {"n": 123456789012345678901234567890}, "dry_run": 1e400}',
}


def needs_no_body(endpoint: Endpoint) -> bool:
    return "maintenance" in endpoint.path


@AT_ONE_STAGE
@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_none(world: World, home: Household, name: str) -> None:
    count = "SELECT count(*) FROM task_logs WHERE group_id = $1"
    for endpoint in WITH_BODY:
        if name == "nothing" and needs_no_body(endpoint):
            continue
        headers = {"Content-Type": "application/json"}
        answer = await world.client(home.owner).post(endpoint.path, content=BODIES[name], headers=headers)
        assert (str(endpoint), answer.status_code) == (str(endpoint), 422)
        check(answer.json(), INVALID)
    assert await world.database.fetchval(count, home.project_id) == 0


async def test_a_body_over_the_limit(world: World, home: Household) -> None:
    limit = world.gateway.settings.max_body_bytes
    for endpoint in WITH_BODY:
        answer = await world.client(home.owner).post(endpoint.path, content=b"x" * (limit + 1))
        assert (str(endpoint), answer.status_code) == (str(endpoint), 413)
        check(answer.json(), DETAIL)


async def test_a_body_over_the_limit_that_hides_its_length(world: World, home: Household) -> None:
    sent = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 50_000_000:
            sent += 65536
            yield b"x" * 65536

    answer = await world.client(home.owner).post("/api/v1/episodes/", content=stream())
    assert answer.status_code == 413
    check(answer.json(), DETAIL)


async def test_a_body_over_the_limit_is_refused_before_it_is_read(world: World, home: Household) -> None:
    """The answer comes while the client has sent nothing but the length."""
    host, _, port = world.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /api/v1/episodes/ HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5000000000\r\n"
        b"Authorization: Bearer " + home.owner.key.encode() + b"\r\n\r\n"
    )
    async with asyncio.timeout(5):
        assert b" 413 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_the_largest_body_that_is_allowed(world: World, home: Household) -> None:
    """It runs on either backend, although Temporal takes no messages of such a size."""
    limit = world.gateway.settings.max_body_bytes
    body = b'{"project_id": "' + home.project_id.encode() + b'", "name": "n", "content": "'
    body += b"x" * (limit - len(body) - 2) + b'"}'
    assert len(body) == limit
    answer = await world.client(home.owner).post("/api/v1/episodes/", content=body)
    assert answer.status_code == 202
    await world.flip()
    assert (await world.ended(answer.json()["task_id"]))["status"] == "COMPLETED"


async def test_a_body_without_its_type_is_read_as_json(world: World, home: Household) -> None:
    content = b'{"content": "x", "project_id": "%s"}' % home.project_id.encode()
    for headers in ({}, {"Content-Type": "application/json; charset=utf-8"}):
        answer = await world.client(home.owner).post("/api/v1/episodes/", content=content, headers=headers)
        assert answer.status_code == 202


@pytest.mark.parametrize("text", ["%00", "%ff", "%ed%a0%80", "a%00b"])
async def test_text_that_cannot_be_stored(world: World, home: Household, text: str) -> None:
    client = world.client(home.owner)
    paths = [f"/api/v1/tasks/{text}", f"/api/v1/tasks/{text}/stream"]
    paths += [f"{endpoint.path}?search={text}&status={text}&limit={text}" for endpoint in LISTS]
    for path in paths:
        answer = await client.get(path)
        assert (path, answer.status_code) == (path, 422)
        assert "detail" in answer.json()
    for verb in ("retry", "stop", "cancel"):
        assert (await client.post(f"/api/v1/tasks/{text}/{verb}")).status_code == 422
    answer = await client.post(f"/api/v1/communities/rebuild?background=true&project_id={text}")
    assert answer.status_code == 422


async def test_keys_that_cannot_be_stored(world: World) -> None:
    for key in (b"ms_sk_\xff\xfe", b"Bearer ms_sk_" + b"\xc3\xa9" * 10, b"ms_sk_" + b"0" * 8000, b"Bearer", b"Basic x"):
        answer = await world.client().get("/api/v1/tasks/", headers={b"Authorization": key})
        assert answer.status_code == 401
        check(answer.json(), DETAIL)


async def test_unusual_text_comes_back_as_it_was(world: World, home: Household) -> None:
    content = 'fatal \N{SNOWMAN} \U0001f600 \x7f \u2028 \t "quotes" \'; DROP TABLE task_logs; -- %s {} \\u0000'
    for endpoint in WITH_BODY[:2]:
        body = {**(body_of(endpoint, home) or {}), "content": content}
        answer = await world.client(home.owner).post(endpoint.path, json=body)
        assert answer.json()["content"] == content
        await world.flip()
        row = await world.ended(answer.json()["task_id"])
        assert row["payload"]["content"] == content
        task = (await world.client(home.owner).get(f"/api/v1/tasks/{row['id']}")).json()
        assert task["error"] == content.removeprefix("fatal ")
