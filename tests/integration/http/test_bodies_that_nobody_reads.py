"""Under /gateway/v1 a body is refused where the endpoint has none: what it says would be lost."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from gateway.app import create_app
from gateway.http.route import KeyedRoute

NO_BODY = {"type": "no_body", "loc": ["body"], "msg": "This endpoint takes no body", "input": None}
QUOTA = "/gateway/v1/tenants/t-ann/quotas"


async def pieces(*each: bytes) -> AsyncIterator[bytes]:
    """A body that does not announce its length."""
    for piece in each:
        yield piece


async def test_each_endpoint_without_a_body_says_so(serve: Any, admin: dict[str, str]) -> None:
    async with serve() as (client, gateway):
        every = [route for route in create_app(gateway).routes if isinstance(route, KeyedRoute)]
        found = [
            (method, re.sub(r"{[^}]+}", "x", route.path))
            for route in every
            if route.path.startswith("/gateway/v1") and not takes_body(route)
            for method in sorted(route.methods or ())
        ]
        assert len(found) > 50
        assert {"GET", "POST", "DELETE"} <= {method for method, _ in found}
        wrong = {}
        for method, path in found:
            for body in (b'{"why": "because"}', pieces(b" ", b"[1]")):
                answer = await client.request(method, path, content=body, headers=admin)
                if (answer.status_code, answer.json().get("errors")) != (422, [NO_BODY]):
                    wrong[f"{method} {path}"] = answer.text
        assert wrong == {}


def takes_body(route: APIRoute) -> bool:
    return route.body_field is not None or "requestBody" in (route.openapi_extra or {})


async def quotas(client: httpx.AsyncClient) -> list[Any]:
    found: list[Any] = (await client.get(QUOTA)).json()["quotas"]
    return found


async def test_a_quota_outlives_a_removal_that_was_meant_for_another(
    client: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    client.headers.update(admin)
    assert (await client.put(QUOTA, json={"running": 3, "why": "w"})).status_code == 200
    before = await quotas(client)
    refused = await client.request("DELETE", QUOTA, json={"project_id": "p-ann"})
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:taskgate:error:invalid_request"
    assert await quotas(client) == before
    # Whoever has no key learns nothing of it.
    nobody = {"Authorization": "Bearer ms_sk_" + "0" * 64}
    assert (await client.request("DELETE", QUOTA, json={"project_id": "x"}, headers=nobody)).status_code == 401


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("body", [b"", b" \r\n\t", b"{}", b" {}\n", b"{\r\n\r\n}", b"null"])
async def test_a_body_that_says_nothing_loses_nothing(
    client: httpx.AsyncClient, admin: dict[str, str], body: bytes, *, chunked: bool
) -> None:
    content: Any = pieces(body) if chunked else body
    answer = await client.request("DELETE", QUOTA, content=content, headers=admin)
    assert answer.status_code != 422


async def test_no_more_of_it_is_read_than_a_body_may_have(serve: Any, admin: dict[str, str]) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b" " * 1024

    async with serve(max_body_bytes=4096) as (client, _):
        client.headers.update(admin)
        assert (await client.request("DELETE", QUOTA, content=endless())).status_code == 413
        assert taken <= 6
        assert (await client.request("DELETE", QUOTA, content=b" " * 4097)).status_code == 413
