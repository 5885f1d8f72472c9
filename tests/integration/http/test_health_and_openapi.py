"""Liveness, readiness, and the description of the API."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from backends.errors import EngineUnavailable
from gateway.http.health import taskgate_version


class Engine:
    """An engine as far as readiness asks."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.asked = 0

    async def check_health(self) -> None:
        self.asked += 1
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


async def test_many_who_ask_at_once_cost_one_reading(serve: Any) -> None:
    """It needs no key, and takes connections that requests need."""
    async with serve() as (client, gateway):
        engine = Engine()
        gateway.engines = {"redis": engine, "temporal": Engine()}
        client.headers.pop("Authorization", None)
        answers = await asyncio.gather(*(client.get("/gateway/v1/ready") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert engine.asked == 1


async def test_a_gateway_that_leaves_says_so_at_once(serve: Any) -> None:
    async with serve() as (client, gateway):
        gateway.engines = {"redis": Engine(), "temporal": Engine()}
        assert (await client.get("/gateway/v1/ready")).status_code == 200
        gateway.leaving = True
        answer = await client.get("/gateway/v1/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "leaving")


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


async def test_the_document_is_served(client: httpx.AsyncClient, openapi_document: dict[str, Any]) -> None:
    assert (await client.get("/openapi.json")).json() == json.loads(json.dumps(openapi_document))


async def test_openapi_names_each_schema_and_tag_once(openapi_document: dict[str, Any]) -> None:
    """Two models of one name would be called by their modules in generated clients."""
    document = openapi_document
    assert [name for name in document["components"]["schemas"] if not name.isalnum()] == []
    tags = [tag["name"] for tag in document["tags"]]
    assert sorted(tags) == sorted(set(tags))


async def test_openapi_names_every_endpoint_and_error(openapi_document: dict[str, Any]) -> None:
    schema = openapi_document
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


def unknown_in(schema: Any, at: str) -> Iterator[str]:
    """Places of which a schema says nothing, so that generated clients have a type for anything."""
    if not schema.keys() - {"title", "description", "default"}:
        yield at
    for name, part in schema.get("properties", {}).items():
        yield from unknown_in(part, f"{at}.{name}")
    for part in schema.get("anyOf", ()):
        # What an item of any JSON is, nobody can say.
        if part.get("items") != {}:
            yield from unknown_in(part, at)


async def test_openapi_says_of_everything_what_it_is(openapi_document: dict[str, Any]) -> None:
    document = openapi_document
    found = [place for name, schema in document["components"]["schemas"].items() for place in unknown_in(schema, name)]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            answers = [answer.get("content", {}) for answer in operation["responses"].values()]
            for content in [operation.get("requestBody", {}).get("content", {}), *answers]:
                for each in content.values():
                    found += unknown_in(each.get("schema") or each["itemSchema"], path)
    assert found == []


DAG = "nodes:\n  only: {type: add_episode, input: {n: 1, list: [1]}}\n"


async def test_differences_and_operations_are_as_openapi_says(
    client: httpx.AsyncClient, openapi_document: dict[str, Any]
) -> None:
    document = openapi_document

    def check(model: str, value: Any) -> None:
        Draft202012Validator({"$ref": f"#/components/schemas/{model}", **document}).validate(value)

    headers = {"Content-Type": "application/yaml"}
    for text in (DAG, DAG.replace("list: [1]", "more: {}").replace("n: 1", "n: x")):
        answer = await client.put("/gateway/v1/dags/nightly", content=text, headers=headers)
        assert answer.status_code in (200, 201), answer.text
    difference = (await client.get("/gateway/v1/dags/nightly/diff?before=1")).json()
    assert {change["op"] for change in difference["changes"]} == {"add", "remove", "replace"}
    check("DagDifference", difference)
    selected = {"labels": {"a": "b"}, "status": ["failed"], "created_after": "2026-01-01T00:00:00Z", "error": "x"}
    operation = await client.post(
        "/gateway/v1/operations", json={"action": "retry", "filter": selected, "dry_run": True}
    )
    assert operation.json()["filter"] == selected
    check("Operation", operation.json())
    letters = {"filter": {"died_before": "2026-01-01T00:00:00Z", "ids": ["x"], "kind": "task"}, "dry_run": True}
    redrive = (await client.post("/gateway/v1/dead-letters/redrive", json=letters)).json()
    assert redrive["filter"] == letters["filter"]
    check("Operation", redrive)
    check("Operations", (await client.get("/gateway/v1/operations")).json())
