"""Contract §4: everything else under `/api/v1` is answered by the MemStack API server, unchanged."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
import uvicorn
from starlette.types import Receive, Scope, Send

from contracts.people import Household
from contracts.shapes import DETAIL, check
from contracts.stages import AT_ONE_STAGE
from contracts.world import PATIENCE, World, listen

pytestmark = AT_ONE_STAGE


class Upstream:
    """An API server that tells what it was asked."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        chunks = []
        more = True
        while more:
            message = await receive()
            chunks.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"".join(chunks)
        path = scope["path"].removeprefix("/api/v1")
        status, headers, content = 200, [(b"content-type", b"application/json")], b""
        if path.startswith("/status/"):
            status = int(path.rpartition("/")[2])
            headers += [(b"retry-after", b"7"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
            content = b"" if status in (204, 304) else b'{"detail": "upstream"}'
        elif path == "/gzip":
            headers.append((b"content-encoding", b"gzip"))
            content = gzip.compress(b'{"compressed": true}')
        elif path == "/redirect":
            host = dict(scope["headers"])[b"host"]
            status, headers = 307, [(b"location", b"http://" + host + b"/api/v1/elsewhere")]
        elif path == "/slow":
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b'{"first": true', "more_body": True})
            await self.may_go_on.wait()
            await send({"type": "http.response.body", "body": b', "second": true}'})
            return
        else:
            asked = {
                "method": scope["method"],
                "target": scope["raw_path"].decode() + "?" + scope["query_string"].decode(),
                "headers": {name.decode(): value.decode("latin-1") for name, value in scope["headers"]},
                "bytes": len(body),
                "begin": body[:100].decode("latin-1"),
            }
            content = json.dumps(asked).encode()
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


@pytest_asyncio.fixture(scope="module")
async def front(world: World, upstream: Upstream) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway in front of the upstream."""
    listener = listen()
    config = uvicorn.Config(upstream, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with (
        world.another_gateway(upstream_url=address) as url,
        httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client,
    ):
        yield client
    server.should_exit = True
    await serving


async def test_requests_arrive_as_they_were_sent(front: httpx.AsyncClient, home: Household) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        body = b"" if method == "GET" else b'{"a": "\xc3\xa9"}'
        answer = await front.request(
            method,
            "/api/v1/projects/a%2Fb/%C3%A9?q=%20x&q=2&empty=",
            content=body,
            headers={**home.owner.headers, "X-Own": "1", "Content-Type": "application/json"},
        )
        assert answer.status_code == 200
        asked = answer.json()
        assert asked["method"] == method
        assert asked["target"] == "/api/v1/projects/a%2Fb/%C3%A9?q=%20x&q=2&empty="
        assert asked["bytes"] == len(body)
        assert asked["headers"]["authorization"] == f"Bearer {home.owner.key}"
        assert asked["headers"]["x-own"] == "1"


async def test_what_the_gateway_serves_stays_here(front: httpx.AsyncClient, home: Household) -> None:
    headers = home.owner.headers
    assert (await front.get("/api/v1/tasks/", headers=headers)).json() == {"tasks": [], "total": 0}
    body = {"content": "x", "project_id": home.project_id}
    assert "task_id" in (await front.post("/api/v1/episodes/", json=body, headers=headers)).json()
    assert (await front.get("/api/v1/tasks/nope", headers=headers)).json() == {"detail": "Task not found"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/episodes/"),
        ("GET", "/api/v1/episodes/e1"),
        ("GET", "/api/v1/memories/"),
        ("PATCH", "/api/v1/memories/m1"),
        ("GET", "/api/v1/communities/"),
        ("POST", "/api/v1/auth/login"),
        ("GET", "/api/v1/maintenance/status"),
    ],
)
async def test_what_it_does_not_serve_goes_on(front: httpx.AsyncClient, method: str, path: str) -> None:
    """Also beneath the prefixes of its own endpoints, and without a key: the upstream asks for that itself."""
    asked = (await front.request(method, path)).json()
    assert (asked["method"], asked["target"]) == (method, f"{path}?")


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 401, 403, 404, 409, 422, 429, 500, 503])
async def test_answers_arrive_as_they_were_given(front: httpx.AsyncClient, status: int) -> None:
    answer = await front.get(f"/api/v1/status/{status}")
    assert answer.status_code == status
    assert answer.headers["Retry-After"] == "7"
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    if status not in (204, 304):
        assert answer.json() == {"detail": "upstream"}


async def test_compressed_answers(front: httpx.AsyncClient) -> None:
    answer = await front.get("/api/v1/gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.json() == {"compressed": True}


async def test_a_redirection_stays_at_the_gateway(front: httpx.AsyncClient) -> None:
    answer = await front.get("/api/v1/redirect")
    assert answer.status_code == 307
    assert answer.headers["Location"] == "/api/v1/elsewhere"


async def test_answers_are_passed_on_as_they_come(front: httpx.AsyncClient, upstream: Upstream) -> None:
    async with asyncio.timeout(PATIENCE), front.stream("GET", "/api/v1/slow") as response:
        chunks = response.aiter_raw()
        first = await anext(chunks)
        assert first == b'{"first": true'
        upstream.may_go_on.set()
        rest = b"".join([chunk async for chunk in chunks])
        assert json.loads(first + rest) == {"first": True, "second": True}


async def test_bodies_over_the_gateways_own_limit_pass(front: httpx.AsyncClient, world: World) -> None:
    size = 3 * world.gateway.settings.max_body_bytes

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(size // 1000):
            yield b"y" * 1000

    for content in (b"y" * size, stream()):
        assert (await front.post("/api/v1/attachments", content=content)).json()["bytes"] == size


async def test_nobody_reaches_the_upstreams_own_tasks(front: httpx.AsyncClient) -> None:
    """A1: the upstream's endpoints ask for no key."""
    for path, status in (
        ("/api/v1/x/../tasks/recent", 401),
        ("/api/v1/x/%2e%2e/tasks/stats", 400),
        ("/api/v1/tasks/%2e%2e/x", 404),
    ):
        request = front.build_request("GET", path)
        answer = await front.send(request)
        assert (path, answer.status_code) == (path, status)
        check(answer.json(), DETAIL)


async def test_an_upstream_that_is_away(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with world.another_gateway(upstream_url=f"http://127.0.0.1:{port}") as url:
        answer = await world.client().get(f"{url}/api/v1/projects/")
        assert answer.status_code == 502
        check(answer.json(), DETAIL)


async def test_without_an_upstream(world: World, home: Household) -> None:
    for person in (None, home.owner):
        answer = await world.client(person).get("/api/v1/projects/")
        assert answer.status_code == 404
        check(answer.json(), DETAIL)
