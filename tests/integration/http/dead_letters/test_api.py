"""`/gateway/v1/dead-letters` over HTTP: who sees what, lists, details, and what is hidden in them."""

from __future__ import annotations

import json
from typing import Any

import httpx

from gateway.tasks.redaction import MARK

API = "/gateway/v1/dead-letters"


async def ids(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **query: Any) -> list[str]:
    answer = await client.get(API, params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return [letter["id"] for letter in answer.json()["dead_letters"]]


async def test_a_caller_sees_those_of_its_tenants(client, fail_task, admin, bob) -> None:
    anns, bobs, nobodys = await fail_task(tenant_id="t-ann"), await fail_task(tenant_id="t-bob"), await fail_task()
    assert await ids(client) == [anns]
    assert await ids(client, bob) == [bobs]
    assert await ids(client, admin) == [nobodys, bobs, anns]
    assert await ids(client, tenant_id="t-bob") == []
    for task in (bobs, nobodys, "none"):
        for method, path in (("GET", ""), ("POST", "/redrive"), ("POST", "/dismiss"), ("DELETE", "")):
            answer = await client.request(method, f"{API}/{task}{path}")
            assert answer.status_code == 404, (method, path)
            assert answer.json()["type"] == "urn:taskgate:error:dead_letter_not_found"
    assert await ids(client, admin) == [nobodys, bobs, anns]


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "ab"),
    ({"type": "one"}, "a"),
    ({"project_id": "p-ann"}, "b"),
    ({"backend": "temporal"}, "b"),
    ({"error": "100%_SURE"}, "a"),
    ({"error": "%"}, "a"),
    ({"error_type": "KeyError"}, "b"),
    ({"untyped": "true"}, ""),
    ({"untyped": "false"}, "ab"),
    ({"reason": "not_retryable"}, "ab"),
    ({"reason": "expired"}, ""),
    ({"kind": "payload"}, ""),
    ({"label": "run:7"}, "a"),
    ({"label": ["run:7", "team:x:y"]}, "a"),
    ({"label": "run:8"}, ""),
    ({"died_after": "2020-01-01T00:00:00Z"}, "ab"),
    ({"died_before": "2020-01-01T00:00:00Z"}, ""),
    ({"state": "dismissed"}, ""),
]


async def test_filters(client, fail_task) -> None:
    await fail_task("100%_sure", task_id="a", tenant_id="t-ann", task_type="one", labels='{"run": "7", "team": "x:y"}')
    await fail_task("no", "KeyError", task_id="b", tenant_id="t-ann", project_id="p-ann", backend="temporal")
    for query, found in FILTERS:
        assert sorted(await ids(client, **query)) == sorted(found)


async def test_groups_by_what_went_wrong(client, fail_task, database, admin) -> None:
    for n in range(3):
        await fail_task(f"no page {n}", "KeyError", task_id=f"k{n}", tenant_id="t-ann", task_type=f"type{n % 2}")
    await fail_task("disk", "OSError", task_id="o", tenant_id="t-ann")
    await fail_task("theirs", "KeyError", task_id="b", tenant_id="t-bob")
    await database.execute("UPDATE taskgate.dead_letter SET error_type = NULL WHERE id = 'o'")
    found = (await client.get(f"{API}/groups")).json()
    assert [(one["error_type"], one["letters"], one["tenants"], one["newest_id"]) for one in found["groups"]] == [
        (None, 1, 1, "o"),
        ("KeyError", 3, 1, "k2"),
    ]
    keys = found["groups"][1]
    assert (keys["types"], keys["error"], keys["kind"]) == (["type0", "type1"], "no page 2", "task")
    assert (keys["oldest_at"] < keys["newest_at"], found["counted"]) == (True, 4)
    assert await ids(client, untyped="true", reason=found["groups"][0]["reason"]) == ["o"]
    assert (await client.get(f"{API}/groups", params={"error": "PAGE 1"})).json()["groups"][0]["letters"] == 1
    assert (await client.get(f"{API}/groups", params={"limit": 1})).json()["counted"] == 4
    assert (await client.get(f"{API}/groups", params={"state": "dismissed"})).json()["groups"] == []
    of_all = (await client.get(f"{API}/groups", headers=admin)).json()["groups"]
    assert [(one["error_type"], one["letters"], one["tenants"]) for one in of_all] == [("KeyError", 4, 2), (None, 1, 1)]
    assert (await client.get(f"{API}/groups", params={"cursor": "x"})).status_code == 422


async def test_pages(client, fail_task, database) -> None:
    tasks = [await fail_task(tenant_id="t-ann") for _ in range(5)]
    await database.execute("UPDATE taskgate.dead_letter SET died_at = '2026-01-01T00:00:00Z'")  # a page begins in a tie
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        answer = (await client.get(API, params={"limit": 2, "cursor": cursor})).json()
        seen += [letter["id"] for letter in answer["dead_letters"]]
        cursor = answer["next_cursor"]
    assert cursor is None
    assert seen == sorted(tasks, reverse=True)


BAD_QUERIES: list[dict[str, Any]] = [
    {"limit": 0},
    {"limit": 201},
    {"cursor": "x"},
    {"cursor": "WzFd"},
    {"cursor": "WyIyMDI2LTAxLTAxIiwiYSJd"},
    {"kind": "x"},
    {"reason": "x"},
    {"state": "x"},
    {"died_after": "yesterday"},
    {"died_after": "2026-01-01T00:00:00"},
    {"label": "x"},
    {"label": ":x"},
    {"error": ""},
    {"error": "x" * 1001},
    {"type": "%00"},
]


async def test_bad_queries(client) -> None:
    for query in BAD_QUERIES:
        answer = await client.get(API, params=httpx.QueryParams(query) if "%00" not in query.values() else "type=%00")
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_key_is_needed(client) -> None:
    for method, path in (
        ("GET", ""),
        ("POST", "/redrive"),
        ("POST", "/purge"),
        ("DELETE", "/x"),
        ("POST", "/x/redrive"),
    ):
        answer = await client.request(method, API + path, headers={"Authorization": ""})
        assert answer.status_code == 401


async def test_the_detail_has_every_attempt_and_a_redacted_payload(client, fail_task, transitions, database) -> None:
    payload = {
        "name": "kept",
        "content": "a diary",
        "user": {"Password": "p", "X-Api-Key": "k", "token": None, "tokens": 3},
        "list": [{"client_secret": "s"}],
    }
    task = await fail_task("boom", tenant_id="t-ann", payload=payload)
    answer = await client.get(f"{API}/{task}")
    assert answer.status_code == 200
    letter = answer.json()
    assert letter["payload"] == {
        "name": "kept",
        "content": MARK,
        "user": {"Password": MARK, "X-Api-Key": MARK, "token": None, "tokens": 3},
        "list": [{"client_secret": MARK}],
        "task_id": task,
        "task_type": "probe",
        "timestamp": 1.5,
    }
    (attempt,) = letter["history"]
    assert {name: attempt[name] for name in ("attempt", "outcome", "error", "error_type", "stack")} == {
        "attempt": 1,
        "outcome": "failed",
        "error": "boom",
        "error_type": "RuntimeError",
        "stack": None,
    }
    assert (letter["task_id"], letter["state"], letter["edits"]) == (task, "open", [])


async def test_of_large_payloads_the_beginning_is_shown(client, fail_task, database) -> None:
    large = {"a": 1, "api_key": "hunter2", "zz": "x" * 300_000}
    task = await fail_task(tenant_id="t-ann", payload=large)
    before = "INSERT INTO taskgate.payload_edit (task_id, edited_by, payload) VALUES ($1, 'ann', $2)"
    await database.execute(before, task, json.dumps(large))
    await database.execute(before, task, '{"api_key": "hunter2"}')
    answer = await client.get(f"{API}/{task}")
    letter = answer.json()
    assert letter["payload"].startswith(f'{{"a":1,"api_key":"{MARK}","zz":"xxx')
    assert letter["payload_is_cut"]
    first, second = (edit["payload"] for edit in letter["edits"])
    assert first == letter["payload"][: len(first)]
    assert second == {"api_key": MARK}
    assert len(answer.content) < 20_000
    assert "hunter2" not in answer.text
    await database.execute("DELETE FROM task_logs WHERE id = $1", task)
    gone = (await client.get(f"{API}/{task}")).json()
    assert (gone["payload"], gone["payload_is_cut"]) == (None, False)


async def test_stacks_are_for_administrators(client, admin, fail_task) -> None:
    task = await fail_task(tenant_id="t-ann")
    seen = [(await client.get(f"{API}/{task}", headers=headers)).json() for headers in ({}, admin)]
    assert [letter["history"][0]["stack"] for letter in seen] == [None, "in probe"]


async def test_paths_and_names_to_hide_are_a_setting(serve, key, fail_task) -> None:
    task = await fail_task(tenant_id="t-ann", payload={"content": "x", "a": {"b": [{"c": 1}, {"c": 2}]}, "c": 3})
    async with serve(redact=["$.a.b[*].c"]) as (client, _):
        letter = (await client.get(f"{API}/{task}", headers={"Authorization": f"Bearer {key}"})).json()
    assert letter["payload"]["a"] == {"b": [{"c": MARK}, {"c": MARK}]}
    assert (letter["payload"]["content"], letter["payload"]["c"]) == ("x", 3)


async def test_odd_payloads_of_legacy_rows_are_shown(client, fail_task, database) -> None:
    task = await fail_task(tenant_id="t-ann")
    for text in (
        '"text"',
        "[1, 2]",
        "null",
        '{"a": "\\ud800"}',
        '{"a": "\\u0000"}',
        f'{{"a": {10**30}}}',
        "[" * 900 + "]" * 900,
    ):
        await database.execute("UPDATE task_logs SET payload = $1::json WHERE id = $2", text, task)
        answer = await client.get(f"{API}/{task}")
        assert answer.status_code == 200, text
    await database.execute("UPDATE task_logs SET payload = NULL")
    assert (await client.get(f"{API}/{task}")).json()["payload"] is None


async def test_dismiss_and_purge(client, fail_task, database) -> None:
    task, other = await fail_task(tenant_id="t-ann"), await fail_task(tenant_id="t-ann")
    assert (await client.post(f"{API}/{task}/dismiss", json={"why": "known"})).status_code == 204
    assert (await client.post(f"{API}/{task}/dismiss")).status_code == 204
    assert await ids(client) == [other]
    assert await ids(client, state="dismissed") == [task]
    assert (await client.get(f"{API}/{task}")).json()["closed_by"] == "ann"
    assert (await client.delete(f"{API}/{task}")).status_code == 204
    assert (await client.delete(f"{API}/{task}")).status_code == 404
    # The legacy row is as it was.
    assert await database.fetchval("SELECT status FROM task_logs WHERE id = $1", task) == "FAILED"
    audit = await database.fetch("SELECT who, kind, scope, why FROM taskgate.ledger ORDER BY id")
    assert [tuple(row) for row in audit] == [
        ("ann", "dead_letter.dismiss", f"dead-letter:{task}", "known"),
        ("ann", "dead_letter.purge", f"dead-letter:{task}", ""),
    ]


async def test_purge_by_filter_touches_only_what_matches_and_is_the_callers(client, fail_task, database, admin) -> None:
    mine = [await fail_task(tenant_id="t-ann", task_type="one") for _ in range(3)]
    kept = [await fail_task(tenant_id="t-ann", task_type="two"), await fail_task(tenant_id="t-bob", task_type="one")]
    body: dict[str, Any] = {"filter": {"type": "one"}, "limit": 2}
    tried = (await client.post(f"{API}/purge", json={**body, "dry_run": True})).json()
    assert (tried["matched"], tried["removed"]) == (2, 0)
    first = (await client.post(f"{API}/purge", json=body)).json()
    assert (first["matched"], first["removed"]) == (2, 2)
    second = (await client.post(f"{API}/purge", json={**body, "cursor": first["next_cursor"]})).json()
    assert (second["removed"], second["next_cursor"]) == (1, None)
    assert sorted(await ids(client, admin)) == sorted(kept)
    assert len(mine) == 3


BAD_ACTIONS: list[Any] = [
    {},
    {"filter": {"tenant": "x"}},
    {"filter": {}, "limit": 5},
    {"filter": {"ids": []}},
    {"filter": {}, "spread_seconds": -1},
    {"filter": {}, "spread_seconds": 1e9},
    {"filter": {}, "backend": "kafka"},
    {"filter": {"labels": {"a": 1}}},
    [],
    "x",
]


async def test_bad_actions(client, fail_task) -> None:
    await fail_task(tenant_id="t-ann")
    for body in BAD_ACTIONS:
        answer = await client.post(f"{API}/redrive", json=body)
        assert answer.status_code == 422
        assert len(await ids(client)) == 1


async def test_retention(serve, fail_task, database) -> None:
    old, fresh = await fail_task(), await fail_task()
    await database.execute("UPDATE taskgate.dead_letter SET died_at = now() - interval '91 days' WHERE id = $1", old)
    async with serve() as (_, gateway):
        assert await gateway.dead_letters.forget_old(gateway.settings.dead_letter_days) == 1
    assert [row["id"] for row in await database.fetch("SELECT id FROM taskgate.dead_letter")] == [fresh]
    assert await database.fetchval("SELECT count(*) FROM task_logs") == 2
