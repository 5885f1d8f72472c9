"""Liveness, readiness, and the description of the API."""

from __future__ import annotations

import re
from typing import Any

import httpx

from backends.errors import EngineUnavailable
from gateway.http.health import taskgate_version


class Engine:
    """An engine as far as readiness asks."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def check_health(self) -> None:
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        pass


async def test_health_looks_at_nothing(serve: Any) -> None:
    async with serve() as (client, gateway):
        gateway.database.url = "postgresql://127.0.0.1:1/x"
        answer = await client.get("/health")
        asked = await client.head("/health")
    assert asked.status_code == 200
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "version": taskgate_version()})


async def test_readiness(serve: Any) -> None:
    async with serve() as (client, gateway):
        gateway.engines = {"redis": Engine(), "temporal": Engine(EngineUnavailable())}
        answer = await client.get("/gateway/v1/ready")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "degraded"
    assert body["database"]["status"] == "ok"
    assert {name: part["status"] for name, part in body["backends"].items()} == {"redis": "ok", "temporal": "away"}
    assert any("redis" in problem for problem in body["problems"])


async def test_it_has_started_once_it_is_registered(serve: Any) -> None:
    """And that stays so while its database is away."""
    async with serve() as (client, gateway):
        assert (await client.get("/gateway/v1/started")).status_code == 503
        assert (await client.head("/gateway/v1/started")).status_code == 503
        await gateway.lease.start()
        gateway.database = type(gateway.database)("postgresql://127.0.0.1:1/x")
        answer = await client.get("/gateway/v1/started")
        asked = await client.head("/gateway/v1/started")
    assert (answer.status_code, answer.json()["status"]) == (200, "started")
    assert asked.status_code == 200


async def test_without_its_database_it_is_not_ready(serve: Any) -> None:
    async with serve() as (client, gateway):
        gateway.database = type(gateway.database)("postgresql://127.0.0.1:1/x")
        answer = await client.get("/gateway/v1/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    assert answer.json()["database"]["status"] == "away"
    assert "Retry-After" in answer.headers


async def test_openapi_names_each_schema_and_tag_once(client: httpx.AsyncClient) -> None:
    """Two models of one name would be called by their modules in generated clients."""
    document = (await client.get("/openapi.json")).json()
    assert [name for name in document["components"]["schemas"] if not name.isalnum()] == []
    tags = [tag["name"] for tag in document["tags"]]
    assert sorted(tags) == sorted(set(tags))


async def test_openapi_names_every_endpoint_and_error(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    operations = {(method, path) for path, item in schema["paths"].items() for method in item}
    assert {
        ("post", "/api/v1/episodes/"),
        ("post", "/api/v1/memories/"),
        ("post", "/api/v1/communities/rebuild"),
        ("post", "/api/v1/maintenance/refresh/incremental"),
        ("post", "/api/v1/maintenance/deduplicate"),
        ("post", "/api/v1/maintenance/optimize"),
        ("get", "/api/v1/tasks/"),
        ("get", "/api/v1/tasks/{task_id}/stream"),
        ("post", "/gateway/v1/tasks"),
        ("get", "/gateway/v1/tasks/{task_id}"),
        ("get", "/gateway/v1/ready"),
        ("get", "/health"),
    } <= operations
    for path, item in schema["paths"].items():
        if path in ("/health", "/gateway/v1/started", "/gateway/v1/ready"):
            continue
        for operation in item.values():
            assert {"401", "413", "422", "500", "503"} <= set(operation["responses"]), path
    episode = schema["paths"]["/api/v1/episodes/"]["post"]
    assert "EpisodeAccepted" in str(episode["responses"]["202"])
    assert "Idempotency-Key" in str(episode["parameters"])
    assert "HTTPBearer" not in str(schema)
    assert schema["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"


async def test_the_page_of_the_api_needs_no_other_server(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    places = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(places) >= 2
    assert [place for place in places if not place.startswith("/")] == []
    assert {(await client.get(place)).status_code for place in places} == {200}


async def test_the_page_of_the_api_may_be_switched_off(serve: Any) -> None:
    async with serve(api_docs=False) as (client, _):
        answers = [await client.get(path) for path in ("/docs", "/openapi.json")]
    assert [answer.status_code for answer in answers] == [404, 404]
