"""The short way leads to the same arguments as FastAPI's, or nowhere."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from httpx import ASGITransport, AsyncClient
from pydantic import BaseModel

from gateway.http.episodes import EpisodeCreate, create_episode
from gateway.http.json_body import decode_json
from gateway.http.memories import create_memory
from gateway.http.shortcut import Shortcut
from gateway.http.submissions import get_task


class Body(BaseModel):
    name: str
    size: int = 3
    more: dict[str, Any] | None = None


async def endpoint(request: Request, body: Body, flag: bool = False, project: str | None = None) -> Response:
    return Response(orjson.dumps([body.model_dump(), flag, project]))


class PlainRequest(Request):
    async def json(self) -> Any:
        return decode_json(await self.body(), max_depth=64)


def request(body: bytes, query: str = "", content_type: str | None = "application/json") -> Request:
    headers = [] if content_type is None else [(b"content-type", content_type.encode())]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return PlainRequest({"type": "http", "headers": headers, "query_string": query.encode(), "path": "/"}, receive)


@pytest.fixture
def fastapi_client() -> AsyncClient:
    router = APIRouter()
    router.post("/")(endpoint)
    app = FastAPI(strict_content_type=False)
    app.include_router(router)
    return AsyncClient(transport=ASGITransport(app), base_url="http://x")


GOOD = b'{"name": "a"}'


@pytest.mark.parametrize(
    ("body", "query"),
    [
        (GOOD, ""),
        (b'{"name": "a", "size": "7", "more": {"x": [1]}, "unknown": 1}', ""),
        (GOOD, "flag=true"),
        (GOOD, "flag=0&project=p%20q"),
        (GOOD, "project=%E2%82%AC&other=1&other=2"),
    ],
)
async def test_what_is_plainly_in_order(fastapi_client: AsyncClient, body: bytes, query: str) -> None:
    shortcut = Shortcut.to(endpoint, "/")
    assert shortcut is not None
    arguments = await shortcut.read(request(body, query))
    assert arguments is not None
    answer = await fastapi_client.post(f"/?{query}", content=body, headers={"Content-Type": "application/json"})
    assert (await endpoint(**arguments)).body == answer.content


@pytest.mark.parametrize(
    ("body", "query", "content_type"),
    [
        (b"{", "", "application/json"),
        (b"", "", "application/json"),
        (b"null", "", "application/json"),
        (b"{}", "", "application/json"),
        (b'{"name": 1}', "", "application/json"),
        (b'{"name": "\\u0000"}', "", "application/json"),
        (GOOD, "flag=maybe", "application/json"),
        (GOOD, "flag=true&flag=false", "application/json"),
        (GOOD, "project=", "application/json"),
        (GOOD, "", "text/plain"),
    ],
)
async def test_all_else_is_left_to_fastapi(body: bytes, query: str, content_type: str) -> None:
    shortcut = Shortcut.to(endpoint, "/")
    assert shortcut is not None
    assert await shortcut.read(request(body, query, content_type)) is None


async def test_a_body_without_content_type() -> None:
    shortcut = Shortcut.to(endpoint, "/")
    assert shortcut is not None
    assert await shortcut.read(request(GOOD, content_type=None)) is not None


def test_which_endpoints_have_one() -> None:
    assert Shortcut.to(create_episode, "/api/v1/episodes/") is not None
    assert Shortcut.to(create_memory, "/api/v1/memories/") is not None
    assert Shortcut.to(get_task, "/gateway/v1/tasks/{task_id}") is None

    async def returns_a_model(request: Request, body: EpisodeCreate) -> EpisodeCreate:
        return body

    assert Shortcut.to(returns_a_model, "/") is None
