"""`GET /gateway/v1/tasks/{task_id}/payload`."""

from __future__ import annotations

import httpx
import pytest

from gateway.dead_letters import archive


async def submit(client: httpx.AsyncClient, payload: dict[str, object]) -> str:
    answer = await client.post("/gateway/v1/tasks", json={"type": "probe", "payload": payload})
    assert answer.status_code == 202, answer.text
    return f"{answer.json()['task_id']}"


async def test_secrets_are_hidden(client: httpx.AsyncClient) -> None:
    task_id = await submit(client, {"name": "Zo\u00eb", "password": "hunter2", "deep": [{"api_key": "s3"}]})
    shown = (await client.get(f"/gateway/v1/tasks/{task_id}/payload")).json()
    payload = shown["payload"]
    assert (payload["name"], payload["password"], payload["deep"]) == (
        "Zo\u00eb",
        "[redacted]",
        [{"api_key": "[redacted]"}],
    )
    assert (shown["task_id"], shown["is_cut"]) == (task_id, False)
    assert shown["bytes"] > 0


async def test_of_a_large_one_the_beginning_is_shown(client: httpx.AsyncClient) -> None:
    task_id = await submit(client, {"password": "hunter2", "text": "x" * 300_000})
    answer = await client.get(f"/gateway/v1/tasks/{task_id}/payload")
    shown = answer.json()
    assert shown["is_cut"]
    assert shown["bytes"] > 300_000
    assert isinstance(shown["payload"], str)
    assert len(answer.content) < 10_000
    assert "hunter2" not in answer.text


async def test_a_large_one_hides_what_a_small_one_hides(client: httpx.AsyncClient) -> None:
    secrets = {"credentials": {"login": "x", "pin": "hunter2"}, "token": ["a", "hunter2"], "secret": "hunter2, hunter2"}
    task_id = await submit(client, {"aa": 1, **secrets, "zz": "x" * 300_000})
    shown = (await client.get(f"/gateway/v1/tasks/{task_id}/payload")).json()
    assert shown["is_cut"]
    assert '"aa":1' in shown["payload"]
    assert '"credentials":"[redacted]"' in shown["payload"]
    assert '"token":"[redacted]"' in shown["payload"]
    assert "hunter2" not in shown["payload"]


async def test_of_one_that_is_too_large_to_be_looked_at_nothing_is_shown(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LARGEST_READ", 300_000)
    task_id = await submit(client, {"text": "x" * 300_000})
    shown = (await client.get(f"/gateway/v1/tasks/{task_id}/payload")).json()
    assert (shown["payload"], shown["is_cut"], shown["bytes"] > 300_000) == ("[redacted]", True, True)


async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/gateway/v1/tasks/nothing/payload")).status_code == 404


async def test_nobody_sees_one_of_others(client: httpx.AsyncClient, bob: dict[str, str]) -> None:
    task_id = await submit(client, {})
    answer = await client.get(f"/gateway/v1/tasks/{task_id}/payload", headers=bob)
    assert answer.status_code == 404
