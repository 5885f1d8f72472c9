"""`/gateway/v1/keys`: who makes, lists, rotates and revokes keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.access.keys import hash_key
from gateway.access.verbs import ASKED, Asked, Verb
from gateway.bootstrap import Gateway
from gateway.migration.ledger.verification import verify
from gateway.storage.database import Database

KEYS = "/gateway/v1/keys"
TASKS = "/gateway/v1/tasks"


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json().get("type", "")).rpartition(":")[2]


async def test_a_key_is_shown_once_and_stored_hashed(client: httpx.AsyncClient, database: Database) -> None:
    answer = await client.post(KEYS, json={"name": "import", "scope": "submit", "tenant_id": "t-ann", "why": "CHG-1"})
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    row = await database.fetchrow("SELECT * FROM api_keys WHERE id = $1", made["key_id"])
    assert row is not None
    assert (row["key_hash"], row["user_id"], row["is_active"]) == (hash_key(made["key"]), "ann", True)
    assert json.loads(row["permissions"]) == ["read", "write"]
    assert len(made["key"]) == len("ms_sk_") + 64

    listed = await client.get(KEYS)
    shown = next(one for one in listed.json()["keys"] if one["key_id"] == made["key_id"])
    assert shown == {name: value for name, value in made.items() if name != "key"}
    record = await database.fetchrow("SELECT *, evidence::text FROM taskgate.ledger WHERE kind = 'key.create'")
    assert record is not None
    assert (record["who"], record["why"], record["scope"]) == ("ann", "CHG-1", f"key:{made['key_id']}")
    for text in (listed.text, *map(str, record.values())):
        assert made["key"] not in text
        assert hash_key(made["key"]) not in text
    assert (await verify(database)).breaks == []


async def test_who_makes_which_keys(
    client: httpx.AsyncClient, people: Any, admin: dict[str, str], bob: dict[str, str], make: Any, bearer: Any
) -> None:
    await people.add_member("bob", "t-ann", "member")
    new = {"name": "x", "scope": "read", "tenant_id": "t-ann"}
    refused = [
        (bob, new, (403, "forbidden")),
        (None, {**new, "tenant_id": "t-bob"}, (403, "forbidden")),
        (None, {**new, "tenant_id": "t-ann", "user_id": "bob"}, (403, "forbidden")),
        (None, {**new, "tenant_id": None}, (422, "invalid_request")),
        (None, {**new, "tenant_id": None, "project_id": "p-ann"}, (422, "invalid_request")),
        (None, {**new, "project_id": "p-bob"}, (422, "invalid_request")),
        (None, {**new, "expires_at": "2020-01-01T00:00:00Z"}, (422, "invalid_request")),
        (None, {**new, "scope": "root"}, (422, "invalid_request")),
        (None, {**new, "per_minute": 0}, (422, "invalid_request")),
        (None, {**new, "name": ""}, (422, "invalid_request")),
        (None, {**new, "more": 1}, (422, "invalid_request")),
        (admin, {**new, "user_id": "nobody"}, (422, "invalid_request")),
        (admin, {**new, "tenant_id": "none"}, (422, "invalid_request")),
        (admin, {**new, "user_id": "ann", "tenant_id": "t-bob"}, (422, "invalid_request")),
    ]
    for headers, body, expected in refused:
        assert code_of(await client.post(KEYS, json=body, headers=headers)) == expected, body
    made = await make(client, admin, user_id="bob", tenant_id=None, scope="admin")
    assert (await client.get("/gateway/v1/workers", headers=bearer(made["key"]))).status_code == 403


async def test_what_a_tenant_manages_is_its_own(
    client: httpx.AsyncClient, admin: dict[str, str], bob: dict[str, str], make: Any, bearer: Any
) -> None:
    anns = await make(client)
    roots = await make(client, admin, scope="admin", tenant_id=None)
    narrow = await make(client, scope="admin")

    def ids(answer: httpx.Response) -> set[str]:
        return {one["key_id"] for one in answer.json()["keys"]}

    assert {anns["key_id"], narrow["key_id"]} < ids(await client.get(KEYS))
    assert anns["key_id"] not in ids(await client.get(KEYS, headers=bob))
    assert {anns["key_id"], roots["key_id"]} < ids(await client.get(KEYS, headers=admin))
    # Her old key, for all her tenants, is hers; but not that of a key for one tenant.
    assert ids(await client.get(KEYS, headers=bearer(narrow["key"]))) == {anns["key_id"], narrow["key_id"]}
    for headers, key in ((bob, anns), (None, roots), (bearer(narrow["key"]), roots)):
        path = f"{KEYS}/{key['key_id']}"
        assert code_of(await client.get(path, headers=headers)) == (404, "key_not_found")
        assert code_of(await client.delete(path, headers=headers)) == (404, "key_not_found")
        assert code_of(await client.post(f"{path}/rotate", json={}, headers=headers)) == (404, "key_not_found")
    assert (await client.get(KEYS, headers=bearer(anns["key"]))).status_code == 403
    pages = [await client.get(KEYS, params={"limit": 1}, headers=admin)]
    while following := pages[-1].json()["next"]:
        pages.append(await client.get(KEYS, params={"limit": 1, "after": following}, headers=admin))
    assert set().union(*map(ids, pages)) == ids(await client.get(KEYS, headers=admin))


async def test_rotation(client: httpx.AsyncClient, database: Database, make: Any, bearer: Any) -> None:
    old = await make(client, per_minute=1000)
    path = f"{KEYS}/{old['key_id']}"
    answer = await client.post(f"{path}/rotate", json={"overlap_seconds": 3600, "why": "yearly"})
    assert answer.status_code == 201
    new = answer.json()
    same = ("name", "user_id", "scope", "tenant_id", "project_id", "per_minute", "permissions")
    assert {name: new[name] for name in same} == {name: old[name] for name in same}
    assert (new["replaces"], new["expires_at"]) == (old["key_id"], None)
    for key in (old, new):
        assert (await client.get(TASKS, headers=bearer(key["key"]))).status_code == 200
    ends = datetime.fromisoformat((await client.get(path)).json()["expires_at"])
    assert timedelta(seconds=3500) < ends - datetime.now(UTC) < timedelta(seconds=3601)
    assert code_of(await client.post(f"{path}/rotate", json={})) == (409, "key_not_rotatable")

    last = await client.post(f"{KEYS}/{new['key_id']}/rotate", json={"overlap_seconds": 0})
    assert last.status_code == 201
    answer = await client.get("/api/v1/tasks/", headers=bearer(new["key"]))
    assert (answer.status_code, answer.json()) == (401, {"detail": "API key has expired"})
    rows = await database.fetch("SELECT scope, why FROM taskgate.ledger WHERE kind = 'key.rotate' ORDER BY id")
    assert [(row["scope"], row["why"]) for row in rows] == [
        (f"key:{old['key_id']}", "yearly"),
        (f"key:{new['key_id']}", ""),
    ]


async def test_others_keys_are_rotated_by_administrators_alone(
    client: httpx.AsyncClient, people: Any, admin: dict[str, str], make: Any, bearer: Any
) -> None:
    await people.add_member("bob", "t-ann", "member")
    bobs = await make(client, admin, user_id="bob")
    roots = await make(client, admin, scope="admin")
    manager = await make(client, scope="admin")
    for key in (bobs, roots):
        path = f"{KEYS}/{key['key_id']}"
        for headers in (None, bearer(manager["key"])):
            answer = await client.post(f"{path}/rotate", json={}, headers=headers)
            assert code_of(answer) == (403, "forbidden")
        assert (await client.get(path)).json()["replaced_by"] is None
    # An administrator's key for a tenant is an owner's: of the administrator's own keys alone.
    answer = await client.post(f"{KEYS}/{bobs['key_id']}/rotate", json={}, headers=bearer(roots["key"]))
    assert code_of(answer) == (403, "forbidden")
    answer = await client.post(f"{KEYS}/{roots['key_id']}/rotate", json={}, headers=bearer(roots["key"]))
    assert (answer.status_code, answer.json()["user_id"]) == (201, "root")
    answer = await client.post(f"{KEYS}/{bobs['key_id']}/rotate", json={}, headers=admin)
    assert (answer.status_code, answer.json()["user_id"]) == (201, "bob")
    assert (await client.delete(f"{KEYS}/{answer.json()['key_id']}")).status_code == 200


async def test_a_legacy_key_is_rotated_as_it_is(
    client: httpx.AsyncClient, people: Any, admin: dict[str, str], database: Database, bearer: Any
) -> None:
    key = await people.add_key("bob")
    await database.execute("UPDATE api_keys SET permissions = '[\"read\"]' WHERE id = $1", hash_key(key))
    answer = await client.post(f"{KEYS}/{hash_key(key)}/rotate", json={}, headers=admin)
    made = answer.json()
    assert (answer.status_code, made["scope"], made["permissions"], made["tenant_id"]) == (201, None, ["read"], None)
    assert (await client.post(TASKS, json={"type": "probe"}, headers=bearer(made["key"]))).status_code == 403
    # As before, it is not held to roles on legacy endpoints.
    answer = await client.post("/api/v1/episodes/", json={"content": "x"}, headers=bearer(made["key"]))
    assert answer.status_code == 202


async def test_of_two_rotations_at_once_one_is_made(client: httpx.AsyncClient, database: Database, make: Any) -> None:
    old = await make(client)
    path = f"{KEYS}/{old['key_id']}/rotate"
    answers = await asyncio.gather(*(client.post(path, json={}) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert await database.fetchval("SELECT count(*) FROM taskgate.api_key WHERE replaces = $1", old["key_id"]) == 1


async def test_revoking(client: httpx.AsyncClient, database: Database, make: Any, bearer: Any) -> None:
    made = await make(client)
    path = f"{KEYS}/{made['key_id']}"
    for _ in range(2):
        answer = await client.delete(path, params={"why": "leaked"})
        assert (answer.status_code, answer.json()["state"], answer.json()["revoked_by"]) == (200, "revoked", "ann")
    answer = await client.get("/api/v1/tasks/", headers=bearer(made["key"]))
    assert (answer.status_code, answer.json()) == (401, {"detail": "API key has been deactivated"})
    assert code_of(await client.post(f"{path}/rotate", json={})) == (409, "key_not_rotatable")
    assert await database.fetchval("SELECT count(*) FROM taskgate.ledger WHERE kind = 'key.revoke'") == 1


@pytest.fixture
async def two(serve: Any, key: str) -> AsyncIterator[list[tuple[httpx.AsyncClient, Gateway]]]:
    """Two gateways over one database."""
    async with AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(serve()) for _ in range(2)]
        for client, gateway in gateways:
            client.headers["Authorization"] = f"Bearer {key}"
            await gateway.listener.wait_listening()
        yield gateways


async def test_revoked_at_one_gateway_it_is_refused_at_the_other(
    two: list[tuple[httpx.AsyncClient, Gateway]], make: Any, bearer: Any
) -> None:
    (first, _), (second, other) = two
    made = await make(first)
    headers = bearer(made["key"])
    assert (await second.get(TASKS, headers=headers)).status_code == 200
    other.access._watch._seconds = 60.0  # so that only the announcement is left
    ended = asyncio.Event()
    caller = await _caller(other, made["key"])
    with other.access.watch_key(caller, ended.set):
        await asyncio.sleep(0)
        assert (await first.delete(f"{KEYS}/{made['key_id']}")).status_code == 200
        async with asyncio.timeout(2):
            await ended.wait()
    assert (await second.get(TASKS, headers=headers)).status_code == 401


async def _caller(gateway: Gateway, key: str) -> Any:
    ASKED.set(Asked(Verb.READ))
    return await gateway.access.authenticate(f"Bearer {key}")


async def test_without_an_entry_nothing_is_changed(client: httpx.AsyncClient, database: Database, make: Any) -> None:
    made = await make(client)
    await database.execute("ALTER TABLE taskgate.ledger ADD CHECK (kind NOT LIKE 'key.%') NOT VALID")
    try:
        path = f"{KEYS}/{made['key_id']}"
        before = await database.fetchval("SELECT count(*) FROM api_keys")
        for answer in (
            await client.post(KEYS, json={"name": "x", "scope": "read", "tenant_id": "t-ann"}),
            await client.post(f"{path}/rotate", json={}),
            await client.delete(path),
        ):
            assert code_of(answer) == (503, "ledger_unwritable")
        assert await database.fetchval("SELECT count(*) FROM api_keys") == before
        assert (await client.get(path)).json()["state"] == "active"
    finally:
        await database.execute("ALTER TABLE taskgate.ledger DROP CONSTRAINT ledger_kind_check")
