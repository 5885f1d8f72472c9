"""The codec server, as Temporal's UI calls it: administrators see, others do not, and each look is recorded."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.api.common.v1 import Payload

from backends.temporal.encryption import EncryptionCodec
from contracts.people import People
from gateway.access.access import Access
from gateway.codec_server.server import CodecServer
from gateway.settings import Settings
from gateway.storage.database import Database

UI = "https://temporal.example.com"
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"secret": 1}')


def as_json(payload: Payload) -> dict[str, Any]:
    metadata = {name: base64.b64encode(value).decode() for name, value in payload.metadata.items()}
    return {"metadata": metadata, "data": base64.b64encode(payload.data).decode()}


@pytest.fixture
def codec(tmp_path: Path) -> EncryptionCodec:
    keys = tmp_path / "keys"
    keys.write_text(f"k1 {base64.b64encode(secrets.token_bytes(32)).decode()}\n")
    codec = Settings(temporal_codec_keys_file=keys).payload_codec()
    assert codec is not None
    return codec


@pytest.fixture
async def client(database: Database, codec: EncryptionCodec) -> AsyncIterator[httpx.AsyncClient]:
    access = Access(database, failed_attempts=5)
    server = CodecServer(database, access, codec, origins=[UI], max_body_bytes=100_000)
    transport = httpx.ASGITransport(app=server.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://codec") as client:
        yield client
    await access.close()


@pytest.fixture
async def admin(database: Database) -> dict[str, str]:
    return (await People(database).person("ada", admin=True)).headers


async def entries(database: Database) -> list[tuple[str, str, str, dict[str, Any]]]:
    rows = await database.fetch("SELECT kind, who, scope, evidence::text AS evidence FROM taskgate.ledger ORDER BY id")
    return [(row["kind"], row["who"], row["scope"], json.loads(row["evidence"])) for row in rows]


async def test_what_was_encrypted_is_shown_and_recorded(
    client: httpx.AsyncClient, admin: dict[str, str], codec: EncryptionCodec, database: Database
) -> None:
    [encrypted] = await codec.encode([PLAIN])
    body = {"payloads": [as_json(encrypted), as_json(PLAIN)]}
    answer = await client.post("/decode", json=body, headers={**admin, "X-Namespace": "taskgate", "Origin": UI})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"payloads": [as_json(PLAIN), as_json(PLAIN)]}
    assert answer.headers["access-control-allow-origin"] == UI
    assert answer.headers["cache-control"] == "no-store"
    [(kind, who, scope, evidence)] = await entries(database)
    assert (kind, who, scope) == ("codec.decode", "ada", "namespace:taskgate")
    assert (evidence["payloads"], evidence["keys"]) == (2, ["k1"])
    assert "secret" not in json.dumps(evidence)

    answer = await client.post("/encode", json={"payloads": [as_json(PLAIN)]}, headers=admin)
    back = await client.post("/decode", json=answer.json(), headers=admin)
    assert back.json() == {"payloads": [as_json(PLAIN)]}


async def test_a_browser_sends_the_key_as_a_password(client: httpx.AsyncClient, admin: dict[str, str]) -> None:
    key = admin["Authorization"].removeprefix("Bearer ")
    answer = await client.post("/decode", json={"payloads": []}, auth=("whoever", key))
    assert answer.status_code == 200
    refused = await client.post("/decode", json={"payloads": []})
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic ")


async def test_others_see_nothing(
    client: httpx.AsyncClient, codec: EncryptionCodec, database: Database, admin: dict[str, str]
) -> None:
    home = await People(database).household()
    body = {"payloads": [as_json(payload) for payload in await codec.encode([PLAIN])]}
    headers: Any
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer ms_sk_" + "0" * 64}, 401),
        (home.owner.headers, 403),
        ({"Authorization": "Basic !"}, 401),
        ({"Authorization": b"Basic \xe9"}, 401),
    ):
        for path in ("/decode", "/encode"):
            answer = await client.post(path, json=body, headers=headers)
            assert answer.status_code == status, answer.text
            assert "payloads" not in answer.json()
    assert await entries(database) == []


async def test_pages_of_other_origins_are_not_let_in(client: httpx.AsyncClient) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-namespace"}
    allowed = await client.options("/decode", headers={**asked, "Origin": UI})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-credentials"] == "true"
    other = await client.options("/decode", headers={**asked, "Origin": "https://elsewhere.example.com"})
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b"\xff", 422),
        (b"{}", 422),
        (b'{"payloads": [1]}', 422),
        (b'{"payloads": [{"metadata": {"encoding": 1}}]}', 422),
        (b'{"payloads": [{"data": "!"}]}', 422),
        (b"[" * 50_000, 422),
        (b'{"payloads": "' + b"x" * 200_000, 413),
    ],
)
async def test_bad_bodies(client: httpx.AsyncClient, admin: dict[str, str], body: bytes, status: int) -> None:
    answer = await client.post("/decode", content=body, headers=admin)
    assert answer.status_code == status, answer.text
    assert answer.json()["type"].startswith("urn:taskgate:error:")


async def test_a_key_that_is_missing_is_named(
    client: httpx.AsyncClient, admin: dict[str, str], codec: EncryptionCodec
) -> None:
    [encrypted] = await codec.encode([PLAIN])
    encrypted.metadata["encryption-key-id"] = b"lost"
    answer = await client.post("/decode", json={"payloads": [as_json(encrypted)]}, headers=admin)
    assert answer.status_code == 422
    assert "'lost'" in answer.json()["detail"]


async def test_what_cannot_be_recorded_is_not_shown(
    client: httpx.AsyncClient, admin: dict[str, str], codec: EncryptionCodec, database: Database
) -> None:
    await database.execute("ALTER TABLE taskgate.ledger RENAME TO hidden")
    body = {"payloads": [as_json(payload) for payload in await codec.encode([PLAIN])]}
    answer = await client.post("/decode", json=body, headers=admin)
    assert answer.status_code == 503
    assert "payloads" not in answer.json()
