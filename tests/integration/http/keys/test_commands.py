"""`taskgate keys …` and `taskgate audit …`."""

from __future__ import annotations

import json
from typing import Any

import pytest


async def test_by_command(run: Any, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_API_KEY", key)
    code, output = await run("keys", "create", "import", "--scope", "read", "--tenant", "t-ann", "--json")
    assert code == 0, output
    made = json.loads(output)
    code, output = await run("keys", "list", "--tenant", "t-ann")
    assert (code, made["key_id"] in output, made["key"] in output) == (0, True, False)
    code, output = await run("keys", "rotate", made["key_id"], "--overlap", "1")
    assert (code, "ms_sk_" in output) == (0, True)
    code, output = await run("keys", "revoke", made["key_id"], "--why", "test")
    assert (code, output) == (0, f"{made['key_id']} is revoked\n")
    assert (await run("keys", "revoke", "none"))[0] == 2


async def test_the_record_by_command(run: Any, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_API_KEY", admin["Authorization"].removeprefix("Bearer "))
    assert (await run("quota", "set", "--tenant", "t-ann", "--queued", "5", "--why", "agreed"))[0] == 0
    code, output = await run("audit", "list", "--action", "quota.", "--json")
    [entry] = json.loads(output)
    assert (code, entry["subject"], entry["why"]) == (0, "tenant:t-ann", "agreed")
    code, output = await run("audit", "list", "--who", "root")
    assert (code, "quota.set" in output) == (0, True)
    code, output = await run("audit", "export")
    lines = [json.loads(line) for line in output.splitlines()]
    assert (code, [line["data"]["api"]["operation"] for line in lines]) == (0, ["quota.set"])
    code, output = await run("audit", "export", "--after", lines[-1]["id"], "--json")
    assert (code, json.loads(output)) == (0, [])
