"""Each list that pages takes its own cursors and no others; somebody else's cursor shows nothing of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gateway.storage.paging import Place, cursor_in
from gateway.tasks.queries.cursor import cursor_of
from gateway.tasks.queries.task_log import Position

AT = datetime(2026, 1, 1, tzinfo=UTC)
CURSORS = {
    "tasks": cursor_of(Position(AT, "x"), {}),
    **{name: Place(AT, "x").cursor_in(name) for name in ("dag runs", "dead letters", "callbacks")},
    **{name: cursor_in(name, 9) for name in ("flips", "guardrail events", "workers")},
    **{name: cursor_in(name, "x") for name in ("schedules", "tenants")},
}
LISTS = {
    "GET /gateway/v1/tasks": "tasks",
    "GET /gateway/v1/dag-runs": "dag runs",
    "GET /gateway/v1/dead-letters": "dead letters",
    "POST /gateway/v1/dead-letters/dismiss": "dead letters",
    "POST /gateway/v1/dead-letters/purge": "dead letters",
    "GET /gateway/v1/callbacks": "callbacks",
    "GET /gateway/v1/migration/ledger": "flips",
    "GET /gateway/v1/migration/guardrails/history": "guardrail events",
}


def paging(app: FastAPI) -> Iterator[str]:
    """The endpoints that take a cursor."""
    document = app.openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            model = document["components"]["schemas"].get(body.get("$ref", "").rpartition("/")[2], {})
            names = [*model.get("properties", {}), *(each["name"] for each in operation.get("parameters", ()))]
            if "cursor" in names:
                yield f"{method.upper()} {path}"


async def ask(client: httpx.AsyncClient, endpoint: str, headers: dict[str, str], cursor: str | None) -> httpx.Response:
    method, path = endpoint.split()
    asked = {"limit": 1} | ({"cursor": cursor} if cursor is not None else {})
    if method == "GET":
        return await client.get(path, params=asked, headers=headers)
    return await client.post(path, json={**asked, "filter": {"type": "probe"}, "dry_run": True}, headers=headers)


async def test_each_list_takes_its_own_cursors_only(serve: Any, admin: dict[str, str]) -> None:
    async with serve() as (client, _):
        assert set(paging(client._transport.app)) == set(LISTS)
        for endpoint, own in LISTS.items():
            taken = {name: (await ask(client, endpoint, admin, cursor)).status_code for name, cursor in CURSORS.items()}
            assert taken == dict.fromkeys(CURSORS, 422) | {own: 200}, endpoint


@pytest.mark.parametrize("cut", [slice(None, -1), slice(None, 9), slice(1, None)])
async def test_half_a_cursor_is_none(serve: Any, admin: dict[str, str], cut: slice) -> None:
    async with serve() as (client, _):
        for endpoint, own in LISTS.items():
            assert (await ask(client, endpoint, admin, CURSORS[own][cut])).status_code == 422, endpoint


async def test_anns_cursors_show_bob_his_own_list(serve: Any, key: str, bob: dict[str, str]) -> None:
    ann = {"Authorization": f"Bearer {key}"}
    async with serve() as (client, gateway):
        for headers, payload in ((bob, "his"), (ann, "hers"), (ann, "hers")):
            body = {"type": "probe", "payload": {}, "labels": {"whose": payload}}
            assert (await client.post("/gateway/v1/tasks", json=body, headers=headers)).status_code == 202
        await gateway.database.execute(
            "INSERT INTO taskgate.dead_letter (id, kind, task_id, tenant_id, task_type, reason, died_at, error)"
            " SELECT 'd-' || task_id, 'task', task_id, tenant_id, 'probe', 'not_retryable', now(), labels->>'whose'"
            " FROM taskgate.dispatch"
        )
        for endpoint in ("GET /gateway/v1/tasks", "GET /gateway/v1/dead-letters"):
            cursor = (await ask(client, endpoint, ann, None)).json()["next_cursor"]
            answer = await ask(client, endpoint, bob, cursor)
            assert answer.status_code == 200
            assert '"his"' in answer.text, endpoint
            assert '"hers"' not in answer.text, endpoint
