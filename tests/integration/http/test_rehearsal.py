"""`/gateway/v1/migration/rehearsal` and `taskgate migration rehearsal`, over findings that are there already."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from backends.rehearsal import Objection
from gateway.migration.rehearsal.findings import Finding, Findings
from gateway.storage.database import Database

PATH = "/gateway/v1/migration/rehearsal"


@pytest.fixture
async def found(database: Database, key: str) -> None:
    """One good task of ann, and one without a handler."""
    await Findings(database).keep(
        [
            Finding("good", "t-ann", "noop", "dualwrite", []),
            Finding("bad", "t-ann", "odd", "dualwrite", [Objection("no_handler", "odd")]),
        ]
    )


@pytest.fixture
async def admin(serve: Any, found: None, people: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with serve({}) as (client, _):
        client.headers["Authorization"] = f"Bearer {await people.add_user('root', admin=True)}"
        yield client


async def test_a_summary(admin: httpx.AsyncClient) -> None:
    answer = (await admin.get(PATH)).json()["rehearsals"]
    assert [one["tenant_id"] for one in answer] == ["t-ann"]
    (one,) = answer
    assert (one["verdict"], one["ready"], one["not_ready"], one["stage"]) == ("not_ready", 1, 1, "off")
    assert one["reasons"][0]["code"] == "no_handler"
    assert one["reasons"][0]["advice"].startswith("install the handler's module on the Temporal workers")


async def test_single_tasks(admin: httpx.AsyncClient) -> None:
    answer = (await admin.get(f"{PATH}/tasks", params={"tenant_id": "t-ann", "verdict": "not_ready"})).json()["tasks"]
    assert [(one["task_id"], one["verdict"], one["reasons"][0]["detail"]) for one in answer] == [
        ("bad", "not_ready", "odd")
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("?hours=0", 422),
        ("?hours=8761", 422),
        ("?tenant_id=a%00b", 422),
        ("?tenant_id=nobody", 404),
        ("/tasks", 422),
        ("/tasks?tenant_id=nobody", 404),
        ("/tasks?tenant_id=t-ann&limit=301", 422),
        ("/tasks?tenant_id=t-ann&verdict=maybe", 422),
        ("/tasks?tenant_id=t-ann&reason=bad_luck", 422),
        ("/probes?tenant_id=nobody", 404),
        ("/probes?tenant_id=t-ann&hours=-1", 422),
    ],
)
async def test_bad_input_is_said_so(admin: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await admin.get(f"{PATH}{path}")
    assert answer.status_code == status
    assert answer.json()["detail"]


async def test_for_administrators_only(admin: httpx.AsyncClient, key: str) -> None:
    for path in (PATH, f"{PATH}/tasks?tenant_id=t-ann"):
        assert (await admin.get(path, headers={"Authorization": f"Bearer {key}"})).status_code == 403
        assert (await admin.get(path, headers={"Authorization": ""})).status_code == 401


async def test_the_command(
    run: Callable[..., Awaitable[tuple[int, str]]], found: None, people: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKGATE_API_KEY", await people.add_user("root", admin=True))
    code, text = await run("migration", "rehearsal")
    assert (code, text.splitlines()[0].split()[:3]) == (0, ["tenant", "stage", "verdict"])
    code, text = await run("migration", "rehearsal", "--tenant", "t-ann")
    assert code == 3, text
    assert text.splitlines()[0] == "tenant t-ann, stage off: not_ready"
    assert "install the handler's module" in text
    code, text = await run("migration", "rehearsal", "--tenant", "t-ann", "--json")
    assert json.loads(text)[0]["not_ready"] == 1
    code, text = await run("migration", "rehearsal", "tasks", "--tenant", "t-ann", "--reason", "no_handler")
    assert (code, "no_handler (odd)" in text) == (0, True), text
    code, text = await run("migration", "rehearsal", "tasks", "--tenant", "t-ann", "--reason", "tired")
    assert (code != 0, "the reasons are no_worker" in text) == (True, True)
    code, text = await run("migration", "rehearsal", "tasks", "--tenant", "t-ann", "--verdict", "good")
    assert (code, "write --verdict ready, --verdict not_ready or --verdict unknown" in text) == (2, True)
    assert (await run("migration", "rehearsal", "--tenant", "nobody"))[0] != 0
