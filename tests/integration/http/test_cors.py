"""Browser pages of other origins (contract §4)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

ORIGIN = "https://pages.example"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "x-any"}
PATHS = ["/api/v1/tasks/stats", "/api/v1/episodes/", "/api/v1/search", "/gateway/v1/tasks", "/health", "/unknown"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_preflight_needs_no_key(serve: Any, path: str) -> None:
    async with serve() as (client, _):
        answer = await client.options(path, headers=PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "x-any"


async def test_a_public_page_may_call_a_gateway_in_a_private_network(serve: Any) -> None:
    async with serve() as (client, _):
        answer = await client.options(PATHS[0], headers={**PREFLIGHT, "Access-Control-Request-Private-Network": "true"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/tasks/stats", 200),
        ("GET", "/api/v1/tasks/unknown", 404),
        ("DELETE", "/api/v1/tasks/stats", 405),
        ("GET", "/api/v1/tasks/?limit=x", 422),
        ("GET", "/api/v1/tasks/%00", 422),
        ("GET", "/api/v1/search", 404),
        ("GET", "/api/v1/tasks/unknown/stream", 200),
        ("GET", "/gateway/v1/dag-runs/unknown/stream", 404),
    ],
)
async def test_every_answer_names_the_origin(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await client.request(method, path, headers={"Origin": ORIGIN})
    assert answer.status_code == status
    assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN]
    assert answer.headers.get_list("access-control-allow-credentials") == ["true"]
    assert "Origin" in answer.headers["vary"]


async def test_errors_nobody_foresaw_and_missing_keys_too(serve: Any, monkeypatch: Any) -> None:
    async with serve() as (client, gateway):
        answer = await client.get("/api/v1/tasks/stats", headers={"Origin": ORIGIN})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, ORIGIN)
        client.headers["Authorization"] = "Bearer ms_sk_" + "0" * 64
        with monkeypatch.context() as patch:
            patch.setattr(gateway, "access", None)
            answer = await client.get("/api/v1/tasks/stats", headers={"Origin": ORIGIN})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (500, ORIGIN)


async def test_only_origins_of_the_setting(serve: Any) -> None:
    async with serve(allowed_origins=[ORIGIN]) as (client, _):
        answer = await client.get("/health", headers={"Origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        answer = await client.get("/health", headers={"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in answer.headers
        answer = await client.options("/health", headers={**PREFLIGHT, "Origin": "https://other.example"})
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers
