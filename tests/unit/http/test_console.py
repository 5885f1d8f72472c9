"""The console's files: one page for every address, which finds its assets from there."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from gateway.http.console import Console


@pytest.fixture
def client(tmp_path: Path) -> httpx.AsyncClient:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "index.js").write_text("1")
    (tmp_path / "secret.txt").write_text("no asset")
    (tmp_path / "index.html").write_text('<base href="./" /><script src="assets/index.js"></script>')
    transport = httpx.ASGITransport(Console(tmp_path))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("", "./"),
        ("overview", "./"),
        ("tasks/t-1", "../"),
        ("tasks/t-1?q=a/b", "../"),
        ("dag-runs/r/nodes", "../../"),
        ("tenants/a%2Fb", "../"),
        ("tenants/..%2f..", "../"),
        ("tenants/%3Cb%3E%E2%80%AE", "../"),
    ],
)
async def test_a_page_finds_its_assets_wherever_it_is_shown(client: httpx.AsyncClient, path: str, base: str) -> None:
    answer = await client.get(f"/console/{path}")
    assert answer.status_code == 200
    assert f'<base href="{base}" />' in answer.text
    asset = httpx.URL(f"http://gateway/console/{path}").join(base).join("assets/index.js")
    assert (await client.get(asset)).text == "1"


async def test_no_other_file_is_an_asset(client: httpx.AsyncClient) -> None:
    for path in (
        "assets/..%2fsecret.txt",
        "assets/%2e%2e/secret.txt",
        "assets/no.js",
        f"assets/{'a' * 300}",
        "assets/%00",
    ):
        assert (await client.get(f"/console/{path}")).status_code == 404, path
    assert (await client.post("/console/")).status_code == 405
