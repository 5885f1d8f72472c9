"""Who may do what over HTTP: every endpoint by every role and by every permission of a key."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from gateway.access.verbs import ENDPOINTS, LEGACY_PREFIX, Level, Verb
from gateway.app import create_app
from gateway.storage.database import Database
from workers.testing.waiting import eventually

#: Asked by load balancers, without a key.
OPEN = {
    f"{method} {path}" for method in ("GET", "HEAD") for path in ("/health", "/gateway/v1/started", "/gateway/v1/ready")
}
OPEN |= {"GET /docs", "GET /docs/oauth2-redirect"}
#: May do all that its owner may, who owns tenant t-ann.
OWNERS_KEYS: dict[str, list[str]] = {
    "any": [],
    "read": ["read"],
    "write": ["write"],
    "all": ["read", "write"],
    "admin": ["admin"],
    "unknown": ["tasks"],
}
#: Where an empty one would be refused before anybody is asked.
BODIES = {"POST /gateway/v1/tasks/{task_id}/run-at": {"delay_seconds": 1}}
#: Without one it would not end.
QUERIES = {"GET /gateway/v1/migration/drain/stream": "?tenant_id=none"}
LEVELS = {
    "root": Level.ADMINISTRATOR,
    "owner": Level.MANAGER,
    "admin": Level.MANAGER,
    "member": Level.MEMBER,
    "guest": Level.READER,
    "viewer": Level.READER,
}


@pytest.fixture
async def crowd(people: Any, database: Database, key: str) -> dict[str, dict[str, str]]:
    """Headers of somebody in each role of tenant t-ann and project p-ann, and with keys of each kind."""
    keys = {"owner": key, "root": await people.add_user("root", admin=True)}
    for role in ("admin", "member", "guest"):
        keys[role] = await people.add_user(role)
        await people.add_member(role, "t-ann", role)
    for name, role in (("viewer", "viewer"), ("project-member", "member"), ("project-admin", "admin")):
        keys[name] = await people.add_user(name)
        await people.add_member(name, "t-ann", "guest")
        await people.add_project_member(name, "p-ann", role)
    for name, permissions in OWNERS_KEYS.items():
        keys[f"key:{name}"] = await people.add_key("ann")
        await database.execute(
            "UPDATE api_keys SET permissions = $2::text::json WHERE key_hash = encode(sha256($1::text::bytea), 'hex')",
            keys[f"key:{name}"],
            json.dumps(permissions),
        )
    return {name: {"Authorization": f"Bearer {key}"} for name, key in keys.items()}


@pytest.fixture
async def two(serve: Any) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """A gateway that tolerates what legacy clients do, and one that does not."""
    async with AsyncExitStack() as stack:
        tolerant, _ = await stack.enter_async_context(serve(communities_wait_seconds=0.01))
        strict, gateway = await stack.enter_async_context(
            serve(communities_wait_seconds=0.01, enforce_legacy_roles=True)
        )
        gateway.any_task_watch.end_streams()
        gateway.news_watch.end_streams()
        gateway.stage_watch.end_streams()  # who may follow the stages would not hear the end
        yield tolerant, strict


def may(who: str, verb: Verb) -> bool:
    if who.startswith("key:"):
        named = OWNERS_KEYS[who.removeprefix("key:")]
        return verb.level <= Level.MANAGER and (not named or verb.permission in named or "admin" in named)
    return LEVELS[who] >= verb.level


async def test_every_endpoint_has_a_verb(serve: Any) -> None:
    async with serve() as (_, gateway):
        routes = [route for route in create_app(gateway).routes if isinstance(route, APIRoute)]
    assert {f"{method} {route.path}" for route in routes for method in route.methods} == ENDPOINTS.keys() | OPEN


@pytest.mark.parametrize("verb", Verb)
async def test_every_endpoint_by_every_role(
    crowd: dict[str, dict[str, str]], two: tuple[httpx.AsyncClient, httpx.AsyncClient], verb: Verb
) -> None:
    """With a request that names nothing: who may, is told what is wrong with it, or gets what there is.

    Roles in projects do not count where no project is named.
    """
    tolerant, strict = two
    for endpoint in (endpoint for endpoint, its_verb in ENDPOINTS.items() if its_verb is verb):
        method, path = endpoint.split()
        is_legacy = path.startswith(LEGACY_PREFIX)
        body: dict[str, Any] = {"json": BODIES.get(endpoint, {})} if method in ("POST", "PUT", "PATCH") else {}
        path = re.sub(r"{\w+}", "none", path.replace("{tenant_id}", "t-bob")) + QUERIES.get(endpoint, "")
        for who, headers in crowd.items():
            if who.startswith("project-"):
                continue
            refused = (await strict.request(method, path, headers=headers, **body)).status_code == 403
            assert refused is not may(who, verb), (who, endpoint)
            if is_legacy:
                tolerated = await tolerant.request(method, path, headers=headers, **body)
                assert tolerated.status_code != 403, (who, endpoint)


@pytest.fixture
async def task(two: tuple[httpx.AsyncClient, httpx.AsyncClient], crowd: dict[str, dict[str, str]]) -> Any:
    """Submits a task to a project of t-ann, as its owner; the id."""

    async def submit(project_id: str | None = None, headers: dict[str, str] | None = None) -> str:
        asked = {"type": "probe", "payload": {}, "project_id": project_id}
        answer = await two[0].post("/gateway/v1/tasks", json=asked, headers=headers or crowd["owner"])
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    return submit


async def test_a_role_in_a_project_counts_for_its_tasks(
    two: Any, crowd: Any, task: Any, people: Any, database: Database
) -> None:
    """A member of the tenant who is a viewer of one project only looks at that one."""
    await people.add_project("p-other", "t-ann", "ann")
    await people.add_project_member("member", "p-ann", "viewer")
    tolerant, _ = two
    ask = {"type": "probe", "payload": {}}
    for project_id, status in (("p-ann", 403), ("p-other", 202), (None, 202)):
        one = await task(project_id)
        moved = await tolerant.post(
            f"/gateway/v1/tasks/{one}/run-at", json={"delay_seconds": 9}, headers=crowd["member"]
        )
        assert moved.status_code == (403 if status == 403 else 200)
        assert (await tolerant.get(f"/gateway/v1/tasks/{one}", headers=crowd["member"])).status_code == 200
        asked = {**ask, "project_id": project_id}
        assert (await tolerant.post("/gateway/v1/tasks", json=asked, headers=crowd["member"])).status_code == status
    # The other way round: a guest of the tenant works in the project.
    for project_id, status in (("p-ann", 202), ("p-other", 403), (None, 403)):
        asked = {**ask, "project_id": project_id}
        answer = await tolerant.post("/gateway/v1/tasks", json=asked, headers=crowd["project-member"])
        assert answer.status_code == status, answer.text


async def test_who_has_a_role_in_a_project_only_submits_and_sees_nothing(
    client: httpx.AsyncClient, people: Any, key: str
) -> None:
    """Tasks are shown to those who belong to their tenant (contract, quirk A1)."""
    headers = {"Authorization": f"Bearer {await people.add_user('zoe')}"}
    await people.add_project_member("zoe", "p-ann")
    body = {"type": "probe", "project_id": "p-ann"}
    sent = await client.post("/gateway/v1/tasks", json=body, headers=headers)
    assert sent.status_code == 202, sent.text
    task_id = sent.json()["task_id"]
    assert (await client.get(f"/gateway/v1/tasks/{task_id}", headers=headers)).status_code == 404
    assert (await client.get(f"/gateway/v1/tasks/{task_id}")).status_code == 200


async def test_what_is_done_by_filter_is_allowed_for_all_of_it(two: Any, crowd: Any, people: Any) -> None:
    await people.add_member("ann", "t-bob", "guest")
    await people.add_project_member("member", "p-ann", "viewer")
    tolerant, _ = two

    async def cancel(who: str, **wanted: str) -> int:
        body = {"action": "cancel", "filter": {"type": ["probe"], **wanted}, "dry_run": True}
        return (await tolerant.post("/gateway/v1/operations", json=body, headers=crowd[who])).status_code

    async def purge(who: str, **wanted: str) -> int:
        body = {"filter": {"type": "probe", **wanted}, "dry_run": True}
        return (await tolerant.post("/gateway/v1/dead-letters/purge", json=body, headers=crowd[who])).status_code

    assert [await purge("owner"), await purge("owner", tenant_id="t-bob")] == [403, 403]
    assert [await purge("owner", tenant_id="t-ann"), await purge("owner", project_id="p-ann")] == [200, 200]
    assert [await cancel("member"), await cancel("member", project_id="p-ann")] == [403, 403]
    assert await purge("project-admin", project_id="p-ann") == 200
    assert [await cancel("admin"), await cancel("root"), await purge("root")] == [200, 200, 200]


async def test_the_use_of_legacy_endpoints_beyond_roles_is_counted(
    two: Any, crowd: Any, task: Any, database: Database, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tolerant, strict = two
    one = await task("p-ann")
    for _ in range(2):
        where = "/api/v1/maintenance/deduplicate?project_id=p-ann"
        assert (await tolerant.post(where, json={"dry_run": False}, headers=crowd["viewer"])).status_code == 200
    assert (await tolerant.post(f"/api/v1/tasks/{one}/stop", headers=crowd["key:read"])).status_code == 200
    assert (await tolerant.get(f"/api/v1/tasks/{one}", headers=crowd["viewer"])).status_code == 200
    assert (await strict.post(where, json={}, headers=crowd["viewer"])).status_code == 403

    async def counted() -> list[tuple[str, str, int]]:
        uses = (await tolerant.get("/gateway/v1/legacy-use", headers=crowd["root"])).json()["uses"]
        return [(use["user_id"], use["verb"], use["requests"]) for use in uses]

    await eventually(counted, lambda found: found == [("viewer", "submit", 2), ("ann", "steer", 1)])
    page = (await tolerant.get("/metrics", headers=crowd["root"])).text
    assert 'verb="submit"} 2' in page
    monkeypatch.setenv("TASKGATE_API_KEY", crowd["root"]["Authorization"].removeprefix("Bearer "))
    code, out = await run("access", "legacy-use")
    assert code == 0
    assert "viewer" in out


def test_the_documented_table() -> None:
    names = {Level.READER: "guest, viewer", Level.MEMBER: "member", Level.MANAGER: "admin, owner"}
    rows = []
    for verb in Verb:
        least = names.get(verb.level, "system administrator")
        rows.append(f"| `{verb.name.lower()}` | {verb.meaning} | {least} | `{verb.permission}` |")
    text = (Path(__file__).resolve().parents[3] / "docs" / "access.md").read_text(encoding="utf-8")
    assert "\n".join(rows) in text
