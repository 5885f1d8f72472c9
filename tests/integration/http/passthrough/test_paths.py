"""Which paths go to the upstream, and what is answered when there is none."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.http.passthrough import Passthrough


@pytest.mark.parametrize(
    ("method", "path", "refused"),
    [
        ("GET", "/api/v1/episodes/", None),
        ("GET", "/api/v1/episodes/some-name", None),
        ("DELETE", "/api/v1/memories/m1", None),
        ("GET", "/api/v1/memories/?project_id=p", None),
        ("OPTIONS", "/api/v1/episodes/", None),
        ("GET", "/api/v1/communities/", None),
        ("GET", "/api/v1/maintenance/status", None),
        ("POST", "/api/v1/maintenance/invalidate-edges", None),
        ("GET", "/api/v1", None),
        ("GET", "/api/v1/tasksets", None),
        ("POST", "/api/v1/episodes/", 401),
        ("POST", "/api/v1/episodes", 307),
        ("GET", "/api/v1/tasks/unknown/more", 404),
        ("PUT", "/api/v1/tasks/stats", 405),
        ("GET", "/api/v10/search", 404),
        ("GET", "/other", 404),
        ("GET", "/api/v1/x/../tasks/stats", 404),
        ("GET", "/api/v1/x/%2e%2e/tasks/stats", 400),
        ("GET", "/api/v1/x%2F..%2Ftasks%2Fstats", 404),
        ("GET", "/api/v1//tasks/stats", 404),
        ("GET", "/api/v1/../internal", 404),
        ("GET", "/api/v1/%74asks/stats", 401),
    ],
)
async def test_whose_paths(through: Any, upstream: Any, method: str, path: str, refused: int | None) -> None:
    client = await through()
    url = httpx.URL(str(client.base_url)).copy_with(raw_path=path.encode())
    request = httpx.Request(method, url, extensions={"target": path.encode()})
    answer = await client.send(request)
    assert bool(upstream.seen) == (refused is None), answer.text
    if refused is not None:
        assert answer.status_code == refused


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/x;/../tasks", 400),
        ("GET", "/api/v1/x%3Bv=1", 400),
        ("GET", "/api/v1/x%2Ey", 400),
        ("GET", "/api/v1/x%00", 400),
        ("TRACE", "/api/v1/search", 405),
    ],
)
async def test_what_servers_read_differently(through: Any, upstream: Any, method: str, path: str, status: int) -> None:
    client = await through()
    answer = await client.send(httpx.Request(method, client.base_url, extensions={"target": path.encode()}))
    assert (answer.status_code, upstream.seen) == (status, [])


async def test_slash_redirects_name_no_server(through: Any) -> None:
    client = await through()
    answer = await client.get("/api/v1/tasks?limit=3")
    assert (answer.status_code, answer.headers["location"]) == (307, "/api/v1/tasks/?limit=3")


async def test_no_upstream(through: Any) -> None:
    client = await through(upstream_url=None)
    for method in ("GET", "POST", "OPTIONS"):
        answer = await client.request(method, "/api/v1/search")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize("url", ["memstack:8000", "ftp://memstack", "http://", "/api"])
def test_an_upstream_that_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="TASKGATE_UPSTREAM_URL"):
        Passthrough(url, timeout=1)
