"""`/gateway/v1/session`: a key exchanged for a cookie, and which requests the cookie counts for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.access.keys import hash_key
from gateway.access.sessions import hash_token
from gateway.bootstrap import Gateway, build_gateway
from gateway.http.session_cookies import SessionCookies
from gateway.settings import Settings
from gateway.storage.database import Database

SESSION = "/gateway/v1/session"
TASKS = "/gateway/v1/tasks"
OWN = {"Sec-Fetch-Site": "same-origin"}
NEW_TASK = {"type": "probe", "payload": {}}


def with_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def served(serve: Any, key: str) -> AsyncIterator[tuple[httpx.AsyncClient, Gateway]]:
    """A browser's client (it keeps cookies, and sends no key), and the gateway."""
    async with serve(allowed_origins=["http://elsewhere"]) as (client, gateway):
        yield client, gateway


@pytest.fixture
def client(served: tuple[httpx.AsyncClient, Gateway]) -> httpx.AsyncClient:
    return served[0]


@pytest.fixture
def clock(served: tuple[httpx.AsyncClient, Gateway]) -> Clock:
    clock = Clock()
    served[1].sessions._clock = clock
    return clock


async def sign_in(client: httpx.AsyncClient, key: str) -> dict[str, str]:
    """Headers of the console's changes."""
    answer = await client.post(SESSION, headers={**with_key(key), **OWN})
    assert answer.status_code == 201, answer.text
    return {**OWN, "X-CSRF-Token": answer.json()["csrf_token"]}


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["type"]).rpartition(":")[2]


async def test_a_key_is_exchanged_for_a_cookie_that_is_stored_hashed(
    client: httpx.AsyncClient, key: str, database: Database
) -> None:
    answer = await client.post(SESSION, headers=with_key(key))
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert key not in answer.text + cookie
    token = client.cookies["taskgate_session"]
    row = await database.fetchrow("SELECT * FROM taskgate.session")
    assert row is not None
    assert (row["token_hash"], row["key_id"], row["user_id"]) == (hash_token(token), hash_key(key), "ann")
    record = await database.fetchrow("SELECT *, evidence::text FROM taskgate.ledger WHERE kind = 'session.create'")
    assert record is not None
    assert record["who"] == "ann"
    for text in (*map(str, row.values()), *map(str, record.values())):
        assert token not in text


async def test_the_cookie_is_secure_where_the_connection_is(client: httpx.AsyncClient, key: str) -> None:
    answer = await client.post(f"https://gateway{SESSION}", headers=with_key(key))
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-taskgate_session=")
    assert "Secure" in cookie.split("; ")
    assert (await client.get(f"https://gateway{SESSION}", headers=OWN)).json()["user_id"] == "ann"


async def test_it_says_who_one_is_and_what_one_may_do(
    client: httpx.AsyncClient, key: str, admin: dict[str, str]
) -> None:
    await sign_in(client, key)
    ann = (await client.get(SESSION, headers=OWN)).json()
    assert (ann["user_id"], ann["is_admin"], ann["tenant_ids"]) == ("ann", False, ["t-ann"])
    assert {"read", "submit", "steer", "purge", "keys"} <= set(ann["permitted"])
    assert not {"observe", "operate"} & set(ann["permitted"])
    root = (await client.get(SESSION, headers=admin)).json()
    assert (root["is_admin"], root["csrf_token"], root["expires_at"]) == (True, None, None)
    assert {"observe", "operate"} <= set(root["permitted"])


async def test_it_says_where_one_may_do_less(client: httpx.AsyncClient, people: Any, key: str, admin: Any) -> None:
    await people.add_member("ann", "t-bob", "viewer")
    await people.add_project("q-bob", "t-bob", "bob")
    await people.add_project_member("ann", "p-bob", "member")
    await people.add_project_member("ann", "q-bob", "viewer")
    ann = (await client.get(SESSION, headers=with_key(key))).json()
    assert {"purge", "keys", "secrets"} <= set(ann["permitted"])
    assert ann["permitted_by_tenant"] == {"t-ann": ann["permitted"], "t-bob": ["read"]}
    member = sorted(set(ann["permitted"]) - {"purge", "keys", "secrets"})
    assert ann["permitted_by_project"] == {"p-ann": ann["permitted"], "p-bob": member, "q-bob": ["read"]}

    only = {"name": "x", "scope": "submit", "tenant_id": "t-ann"}
    made = (await client.post("/gateway/v1/keys", json=only, headers=with_key(key))).json()
    here = (await client.get(SESSION, headers=with_key(made["key"]))).json()
    assert here["permitted_by_tenant"] == {"t-ann": ["read", "submit"]}
    assert here["permitted_by_project"] == {"p-ann": ["read", "submit"]}

    root = (await client.get(SESSION, headers=admin)).json()
    assert (root["permitted_by_tenant"], root["permitted_by_project"]) == ({}, {})


async def test_a_key_that_reads_makes_a_session_that_reads(client: httpx.AsyncClient, key: str) -> None:
    asked = {"name": "x", "scope": "read", "tenant_id": "t-ann"}
    made = (await client.post("/gateway/v1/keys", json=asked, headers=with_key(key))).json()
    headers = await sign_in(client, made["key"])
    assert (await client.get(SESSION, headers=OWN)).json()["permitted"] == ["read"]
    assert (await client.post(TASKS, json=NEW_TASK, headers=headers)).status_code == 403


async def test_the_cookie_serves_for_requests_of_our_own_pages(client: httpx.AsyncClient, key: str) -> None:
    headers = await sign_in(client, key)
    listed = await client.get(TASKS, headers={**OWN, "Origin": "http://elsewhere"})
    assert listed.status_code == 200
    assert "access-control-allow-origin" not in listed.headers
    assert listed.headers["cache-control"] == "no-store"
    assert (await client.post(TASKS, json=NEW_TASK, headers=headers)).status_code == 202
    old_browser = {"Origin": "http://gateway", "X-CSRF-Token": headers["X-CSRF-Token"]}
    assert (await client.post(TASKS, json=NEW_TASK, headers=old_browser)).status_code == 202
    assert (await client.get(TASKS, headers={"X-CSRF-Token": "none"})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://gateway:8443"},
        {"Origin": "http://gateway:8443"},
        {"Origin": "http://elsewhere"},
        {"Origin": "null"},
    ],
    ids=str,
)
async def test_the_cookie_counts_for_no_other_page(
    client: httpx.AsyncClient, key: str, headers: dict[str, str]
) -> None:
    """One of another port of the same host is among them: to the browser that is the same site."""
    token = (await sign_in(client, key))["X-CSRF-Token"]
    assert code_of(await client.get(TASKS, headers=headers)) == (401, "unauthenticated")
    if headers:
        changed = await client.post(TASKS, json=NEW_TASK, headers={**headers, "X-CSRF-Token": token})
        assert code_of(changed) == (401, "unauthenticated")
        answer = await client.post(SESSION, headers={**headers, **with_key(key)})
        assert code_of(answer) == (403, "forbidden")
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("token", [None, "", "0" * 64, b"\xe9"])
async def test_a_change_needs_the_csrf_token(client: httpx.AsyncClient, key: str, token: str | bytes | None) -> None:
    await sign_in(client, key)
    headers: Any = OWN if token is None else {**OWN, "X-CSRF-Token": token}
    assert code_of(await client.post(TASKS, json=NEW_TASK, headers=headers)) == (403, "csrf_token_missing")
    assert code_of(await client.delete(SESSION, headers=headers)) == (403, "csrf_token_missing")
    assert (await client.get(SESSION, headers=OWN)).status_code == 200


async def test_a_key_is_asked_for_nothing_more(client: httpx.AsyncClient, key: str) -> None:
    await sign_in(client, key)
    elsewhere = {**with_key(key), "Origin": "http://elsewhere", "Sec-Fetch-Site": "cross-site"}
    answer = await client.post(TASKS, json=NEW_TASK, headers=elsewhere)
    assert answer.status_code == 202
    assert answer.headers["access-control-allow-origin"] == "http://elsewhere"


async def test_sign_out_ends_the_session(client: httpx.AsyncClient, key: str, database: Database) -> None:
    headers = await sign_in(client, key)
    token = client.cookies["taskgate_session"]
    answer = await client.delete(SESSION, headers=headers)
    assert answer.status_code == 204
    assert "taskgate_session" not in client.cookies
    client.cookies.set("taskgate_session", token)
    assert code_of(await client.get(SESSION, headers=OWN)) == (401, "session_ended")
    assert await database.fetchval("SELECT count(*) FROM taskgate.ledger WHERE kind = 'session.delete'") == 1


async def test_sign_out_everywhere(client: httpx.AsyncClient, key: str, bob: dict[str, str]) -> None:
    await sign_in(client, key)
    other = client.cookies["taskgate_session"]
    assert (await client.delete(SESSION, headers=with_key(key))).status_code == 422
    await client.post(SESSION, headers=bob)
    bobs = client.cookies["taskgate_session"]
    headers = await sign_in(client, key)
    assert (await client.delete(SESSION, params={"everywhere": "true"}, headers=headers)).status_code == 204
    for token, status in ((other, 401), (bobs, 200)):
        client.cookies.set("taskgate_session", token)
        assert (await client.get(SESSION, headers=OWN)).status_code == status


async def test_a_session_that_is_not_used_ends(client: httpx.AsyncClient, key: str, clock: Clock) -> None:
    await sign_in(client, key)
    for _ in range(3):
        clock.now += timedelta(minutes=50)
        assert (await client.get(SESSION, headers=OWN)).status_code == 200
    clock.now += timedelta(minutes=61)
    assert code_of(await client.get(SESSION, headers=OWN)) == (401, "session_ended")


async def test_a_session_ends_however_much_it_is_used(client: httpx.AsyncClient, key: str, clock: Clock) -> None:
    await sign_in(client, key)
    for _ in range(28):
        clock.now += timedelta(minutes=50)
        assert (await client.get(SESSION, headers=OWN)).status_code == 200
    clock.now += timedelta(minutes=50)
    assert code_of(await client.get(SESSION, headers=OWN)) == (401, "session_ended")


async def test_a_session_makes_no_other(client: httpx.AsyncClient, key: str, database: Database) -> None:
    own = await sign_in(client, key)
    answer = await client.post(SESSION, headers=own)
    assert code_of(answer) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "set-cookie" not in answer.headers
    assert await database.fetchval("SELECT count(*) FROM taskgate.session") == 1
    assert (await client.get(TASKS, headers=own)).status_code == 200


async def test_sessions_that_are_over_are_forgotten(
    client: httpx.AsyncClient, key: str, clock: Clock, database: Database
) -> None:
    await sign_in(client, key)
    clock.now += timedelta(days=2)
    await sign_in(client, key)
    assert await database.fetchval("SELECT count(*) FROM taskgate.session") == 1


async def test_a_session_ends_with_its_key(client: httpx.AsyncClient, key: str, database: Database) -> None:
    await sign_in(client, key)
    await database.execute("UPDATE api_keys SET is_active = false WHERE id = $1", hash_key(key))
    assert (await client.get(SESSION, headers=OWN)).status_code == 401
    await database.execute("DELETE FROM api_keys WHERE id = $1", hash_key(key))
    assert code_of(await client.get(SESSION, headers=OWN)) == (401, "session_ended")


async def test_failed_sign_ins_count_to_the_limit_of_attempts(serve: Any, key: str) -> None:
    async with serve(failed_attempts_per_minute=3) as (client, _):
        wrong = with_key("ms_sk_" + "0" * 64)
        answers = [(await client.post(SESSION, headers=wrong)).status_code for _ in range(4)]
        assert answers == [401, 401, 401, 429]


async def test_guessed_cookies_count_to_the_limit_of_attempts(serve: Any, key: str) -> None:
    async with serve(failed_attempts_per_minute=3) as (client, _):
        answers = []
        for guess in range(4):
            client.cookies.set("taskgate_session", f"guess-{guess}")
            answers.append((await client.get(SESSION, headers=OWN)).status_code)
        assert answers == [401, 401, 401, 429]


@pytest.mark.parametrize("how", ["sign out", "revoke"])
async def test_streams_take_the_cookie_and_end_with_the_session(
    serve_http: Any, database: Database, admin: dict[str, str], how: str
) -> None:
    loop = asyncio.get_running_loop()
    gateway = build_gateway(Settings(database_url=database.url, grpc_enabled=False), engines={})
    async with serve_http(gateway) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as browser:
        asked = {"name": "x", "scope": "admin"}
        made = (await browser.post("/gateway/v1/keys", json=asked, headers=admin)).json()
        headers = await sign_in(browser, made["key"])
        async with browser.stream("GET", "/gateway/v1/migration/stages/stream", headers=OWN, timeout=10) as stream:
            assert stream.status_code == 200
            pieces = stream.aiter_bytes()
            await anext(pieces)
            if how == "revoke":
                await browser.delete(f"/gateway/v1/keys/{made['key_id']}", headers=admin)
            else:
                await browser.delete(SESSION, headers=headers)
            began = loop.time()
            async for _ in pieces:
                pass
            assert loop.time() - began < 2


async def test_the_upstream_does_not_see_the_cookie() -> None:
    """Whatever it is sent with: it is taken away at the door."""
    seen: list[str] = []

    async def upstream(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(value.decode() for name, value in scope["headers"] if name == b"cookie")
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with httpx.AsyncClient(transport=httpx.ASGITransport(SessionCookies(upstream))) as other:
        await other.get("http://gateway/api/v1/anything", headers={"Cookie": "a=1; taskgate_session=x; theme=dark"})
    assert seen == ["a=1; theme=dark"]


async def test_without_a_console_there_are_no_sessions(serve: Any, key: str) -> None:
    async with serve(console=False) as (client, _):
        assert code_of(await client.post(SESSION, headers=with_key(key))) == (404, "console_off")
        assert (await client.get("/console/")).status_code == 404
