"""Bad input is answered 4xx with a JSON body, never 500, and leaves nothing behind."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.storage.database import Database

EPISODES = "/api/v1/episodes/"
JSON = {"Content-Type": "application/json"}


async def nothing_was_created(database: Database) -> bool:
    return not await database.fetchval("SELECT count(*) FROM task_logs")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"content": null}',
        b'{"content": 7}',
        b'{"content": ["x"]}',
        b'{"content": "x", "metadata": 1}',
        b'{"content": "x", "name": {}}',
        b'{"content": "a\\u0000b"}',
        b'{"content": "x", "metadata": {"a\\u0000": 1}}',
        b'{"content": "\\ud800"}',
        b'{"content": "\xed\xa0\x80"}',
        b'{"content": "\xff"}',
        b'{"content": "x", "metadata": {"a": NaN}}',
        b'{"content": "x", "metadata": {"a": 1e999}}',
        b'{"content": "x", "metadata": {"a": 123456789012345678901234567890}}',
        b'{"content": "x", "metadata": ' + b'{"a":' * 100 + b"1" + b"}" * 101,
        b"[" * 4000,
        b"content=x",
    ],
)
async def test_bodies(client: httpx.AsyncClient, database: Database, body: bytes) -> None:
    answer = await client.post(EPISODES, content=body, headers=JSON)
    assert answer.status_code == 422
    errors = answer.json()["detail"]
    assert {"type", "loc", "msg"} <= set(errors[0])
    assert errors[0]["loc"][0] == "body"
    assert await nothing_was_created(database)


async def test_malformed_json_is_reported_as_fastapi_reports_it(client: httpx.AsyncClient) -> None:
    answer = await client.post(EPISODES, content=b'{"content": }', headers=JSON)
    assert answer.status_code == 422
    error = answer.json()["detail"][0]
    assert (error["type"], error["loc"], error["msg"]) == ("json_invalid", ["body", 12], "JSON decode error")


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "multipart/form-data; boundary=x"])
async def test_other_content_types(client: httpx.AsyncClient, content_type: str) -> None:
    answer = await client.post(EPISODES, content=b'{"content": "\xff"}', headers={"Content-Type": content_type})
    assert answer.status_code == 422
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", "application/octet-stream", "json", "\xe9"]
)
async def test_json_that_is_sent_as_something_else(
    client: httpx.AsyncClient, database: Database, content_type: str
) -> None:
    sent: Any = {"Content-Type": content_type.encode("latin-1")}
    for path, body in [
        ("/gateway/v1/tasks", b'{"type": "probe"}'),
        ("/gateway/v1/tasks", b"\xff"),
        ("/gateway/v1/dag-runs/none/signals/go", b'{"ok": true}'),
        ("/gateway/v1/dag-runs/none/signals/go", b"\xff"),
    ]:
        answer = await client.post(path, content=body, headers=sent)
        assert answer.status_code == 422, (path, answer.text)
        (error,) = answer.json()["errors"]
        assert (error["loc"], "application/json" in error["msg"]) == (["body"], True)
        refused = await client.post(path, content=body, headers={**sent, "Authorization": "Bearer ms_sk_" + "0" * 64})
        assert refused.status_code == 401
    for known in ({}, {"Content-Type": "application/vnd.x+json; charset=utf-8"}):
        answer = await client.post("/gateway/v1/tasks", content=b'{"type": "probe"}', headers=known)
        assert answer.status_code == 202
    # Nothing was sent: then it does not matter as what.
    assert (await client.post("/gateway/v1/dag-runs/none/signals/go", headers=sent)).status_code == 404


async def test_a_large_invalid_body_is_not_told_back(client: httpx.AsyncClient) -> None:
    answer = await client.post(EPISODES, json={"text": "x" * 1_000_000})
    assert answer.status_code == 422
    assert len(answer.content) < 1000


@pytest.mark.parametrize(
    "url",
    [
        "/api/v1/tasks/recent?search=%00",
        "/api/v1/tasks/recent?entity_id=a%00b",
        "/api/v1/tasks/recent?search=%ED%A0%80",
        "/api/v1/tasks/recent?search=%FF",
        "/api/v1/tasks/a%00b",
        "/api/v1/tasks/%FF",
        "/gateway/v1/tasks/%00",
        "/api/v1/communities/rebuild?project_id=%00",
    ],
)
async def test_text_in_paths_and_queries(client: httpx.AsyncClient, url: str) -> None:
    answer = await client.request("POST" if "rebuild" in url else "GET", url)
    assert answer.status_code == 422
    assert "detail" in answer.json()


@pytest.mark.parametrize(
    "url",
    ["/api/v1/tasks/recent?limit=x", f"/api/v1/tasks/?limit={'9' * 400}", "/api/v1/tasks/recent?offset=-1"],
)
async def test_numbers_in_queries(client: httpx.AsyncClient, url: str) -> None:
    assert (await client.get(url)).status_code == 422


async def test_a_bool_that_is_none(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{EPISODES}?background=maybe", json={"content": "x"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "background"]


# Every answer is JSON -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/somewhere", 404),
        ("GET", "/api/v1/episodes/", 404),
        ("DELETE", "/api/v1/tasks/stats", 405),
        ("PUT", "/api/v1/tasks/x/stop", 405),
        ("GET", "/api/v1/tasks/x/y/z", 404),
        ("POST", "/health", 405),
    ],
)
async def test_unknown_paths_and_methods(client: httpx.AsyncClient, method: str, url: str, status: int) -> None:
    answer = await client.request(method, url)
    assert answer.status_code == status
    assert answer.json() == {"detail": "Not Found" if status == 404 else "Method Not Allowed"}


@pytest.mark.parametrize("host", ["[", "a b", "x:y:z", "ü".encode()])
async def test_a_host_header_that_is_none(client: httpx.AsyncClient, host: Any) -> None:
    for body, status in [({"content": "x"}, 202), ({}, 422), ({"content": "x", "project_id": "p-bob"}, 403)]:
        answer = await client.post(EPISODES, json=body, headers={"Host": host})
        assert answer.status_code == status


async def test_new_endpoints_answer_problem_details(client: httpx.AsyncClient) -> None:
    cases = [
        ("GET", "/gateway/v1/tasks/unknown", None, 404, "task_not_found"),
        ("GET", "/gateway/v1/nowhere", None, 404, "not_found"),
        ("DELETE", "/gateway/v1/tasks", None, 405, "method_not_allowed"),
        ("POST", "/gateway/v1/tasks", {"type": "x", "project_id": "p-bob"}, 403, "forbidden"),
        ("POST", "/gateway/v1/tasks", {"type": ""}, 422, "invalid_request"),
    ]
    for method, url, body, status, code in cases:
        answer = await client.request(method, url, json=body)
        problem = answer.json()
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.status_code == problem["status"] == status
        assert (problem["type"], problem["instance"]) == (f"urn:taskgate:error:{code}", url)
        assert problem["title"]
        assert problem["detail"]
    assert problem["errors"][0]["loc"] == ["body", "type"]


async def test_what_nobody_foresaw(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "what the client sent"

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError(secret)

    monkeypatch.setattr("gateway.submission.intake.Intake.submit", fail)
    answer = await client.post(EPISODES, json={"content": secret})
    assert answer.status_code == 500
    assert answer.json()["detail"] == "Internal error"
    assert answer.json()["error_id"] in caplog.text
    assert secret not in caplog.text


@pytest.mark.parametrize("path", ["/gateway/v1/tasks", "/gateway/v1/dead-letters", "/gateway/v1/dead-letters/groups"])
async def test_labels(client: httpx.AsyncClient, path: str) -> None:
    for wrong in ("label=team:a&label=team:b", "label=team", "label=:a", "label="):
        answer = await client.get(f"{path}?{wrong}")
        assert (answer.status_code, "label" in answer.json()["detail"].lower()) == (422, True), wrong
    for right in ("label=team:a&label=team:a", "label=team:a:b&label=run:", "label=team:a&label=run:a"):
        assert (await client.get(f"{path}?{right}")).status_code == 200, right


async def test_a_database_that_is_away(serve: Any, key: str) -> None:
    async with serve() as (client, gateway):
        gateway.access._lookups._db = gateway.intake._db = type(gateway.database)("postgresql://127.0.0.1:1/x")
        for url, body in [(EPISODES, {"content": "x"}), ("/gateway/v1/tasks", {"type": "x"})]:
            answer = await client.post(url, json=body, headers={"Authorization": key})
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "name", "hint"),
    [
        ("GET", "/gateway/v1/dead-letters?eror_type=a", "eror_type", "; perhaps `error_type` is meant"),
        ("GET", "/gateway/v1/tasks?stauts=failed", "stauts", "; perhaps `status` is meant"),
        ("PUT", "/gateway/v1/dags/nightly?tenant=t-bob", "tenant", "; perhaps `tenant_id` is meant"),
        ("POST", "/gateway/v1/tasks?dry_run=true", "dry_run", ""),
    ],
)
async def test_parameters_that_an_endpoint_does_not_have(
    client: httpx.AsyncClient, database: Database, method: str, path: str, name: str, hint: str
) -> None:
    answer = await client.request(method, path, content=b'{"type": "probe", "payload": {}}', headers=JSON)
    assert answer.status_code == 422
    error = answer.json()["errors"][0]
    assert error["loc"] == ["query", name]
    assert error["msg"] == f"There is no such field{hint}"
    assert await nothing_was_created(database)
    unknown = await client.request(method, path, headers={**JSON, "Authorization": f"Bearer {'ms_sk_' + 'a' * 64}"})
    assert unknown.status_code == 401


async def test_a_parameter_given_twice(client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    twice = await client.get("/gateway/v1/operations?limit=1&limit=2")
    assert (twice.status_code, twice.json()["errors"][0]["loc"]) == (422, ["query", "limit"])
    assert (await client.get("/gateway/v1/dead-letters?label=a:b&label=c:d")).status_code == 200
    for method, path, name in (
        ("GET", "/gateway/v1/tasks?limit=1&limit=2", "limit"),
        ("GET", "/gateway/v1/tasks?cursor=&cursor=", "cursor"),
        ("DELETE", "/gateway/v1/migration/stages?tenant_id=a&why=x&tenant_id=b", "tenant_id"),
        ("DELETE", "/gateway/v1/migration/stages/overrides?tenant_id=a&why=x&why=y", "why"),
        ("DELETE", "/gateway/v1/migration/stages/overrides?tenant_id=a&why=x&wyh=y", "wyh"),
    ):
        answer = await client.request(method, path, headers=admin)
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["query", name]), path
    assert (await client.get("/gateway/v1/tasks?state=waiting&state=queued")).status_code == 200
    # Legacy endpoints read what they know, as MemStack does.
    assert (await client.get("/api/v1/tasks/recent?limit=1&limit=2&other=x")).status_code == 200


async def test_a_field_given_twice(client: httpx.AsyncClient, database: Database) -> None:
    twice = b'{"type": "a", "payload": {"type": 1}, "priority": 1, "priority": 5}'
    answer = await client.post("/gateway/v1/tasks", content=twice, headers=JSON)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", "priority"])
    assert await nothing_was_created(database)
    nested = b'{"type": "a", "payload": {"l": [{"x": 1, "x": 2}]}, "priority": 1}'
    large = b'{"type": "a", "payload": {"l": [{"x": 1, "x": 2}], "text": "' + b"x" * 300_000 + b'"}}'
    for body in (nested, large):
        answer = await client.post("/gateway/v1/tasks", content=body, headers=JSON)
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", "payload", "l", 0, "x"])
    batch = b'{"tasks": [{"type": "a", "payload": {}}, {"type": "a", "payload": {"x": 1, "x": 2}}]}'
    for path, body, loc in (
        ("/gateway/v1/tasks/batch", batch, ["tasks", 1, "payload", "x"]),
        (
            "/gateway/v1/operations",
            b'{"action": "cancel", "filter": {"type": ["a"], "type": ["b"]}}',
            ["filter", "type"],
        ),
    ):
        answer = await client.post(path, content=body, headers=JSON)
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", *loc])
    assert await nothing_was_created(database)
    once = b'{"type": "a", "payload": {"type": 1, "priority": 1}, "priority": 5}'
    assert (await client.post("/gateway/v1/tasks", content=once, headers=JSON)).status_code == 202
    # As MemStack does.
    legacy = await client.post(EPISODES, content=b'{"content": "x", "content": "y"}', headers=JSON)
    assert legacy.status_code == 202
