"""`/gateway/v1/migration/ledger`, `/gateway/v1/tasks/{id}/why`, and the commands in front of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.migration.ledger.writer import Flip, append
from gateway.routing.stages import Stage
from gateway.storage.database import Database

WHY = "/gateway/v1/tasks/t-1/why"
LEDGER = "/gateway/v1/migration/ledger"


@pytest.fixture
async def history(database: Database) -> None:
    """Ann's task: started on Redis before there was a ledger, lost, started again on Temporal; bob's waits."""
    async with database.transaction() as db:
        await append(
            db, Flip("genesis", "all", None, None, "", "The ledger begins", "", {"scopes": {"default": "off"}})
        )
        await append(db, Flip("file", "tenant:t-ann", Stage.OFF, Stage.LIVE, "ada", "first move", "3", {"ticket": 7}))
        await append(db, Flip("override", "tenant:t-bob", None, Stage.LIVE, "ada", "stop"))
    await database.execute(
        "INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, state, backend, stage, rule, entry_id,"
        " epoch, attempt) VALUES"
        " ('t-1', 'g', 'add_episode', 't-ann', 'queued', 'temporal', 'live', 'target', 2, 3, 2),"
        " ('t-2', 'g', 'add_episode', 't-bob', 'waiting', NULL, NULL, NULL, NULL, 0, 0)"
    )
    await database.execute(
        "INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, outcome, stage, rule, entry_id)"
        " VALUES ('t-1', 1, 1, 'redis', 'w', 'lost', NULL, NULL, NULL),"
        " ('t-1', 2, 2, 'temporal', 'w', 'failed', 'live', 'target', 2)"
    )


@pytest.fixture
async def as_root(client: httpx.AsyncClient, history: None, admin: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    client.headers.update(admin)
    return client


async def test_each_start_names_its_entry(as_root: httpx.AsyncClient) -> None:
    answer = (await as_root.get(WHY)).json()
    assert (answer["tenant_id"], answer["state"], answer["stage_now"], answer["rule_now"]) == (
        "t-ann",
        "queued",
        "off",
        "no flag",
    )
    told = [(start["epoch"], start["attempt"], start["backend"], start["entry"]["id"]) for start in answer["starts"]]
    assert told == [(1, 1, "redis", 1), (2, 2, "temporal", 2), (3, None, "temporal", 2)]
    entry = answer["starts"][2]["entry"]
    said = {name: entry[name] for name in ("scope", "before", "after", "who", "why", "version", "evidence")}
    assert said == {
        "scope": "tenant:t-ann",
        "before": "off",
        "after": "live",
        "who": "ada",
        "why": "first move",
        "version": "3",
        "evidence": {"ticket": 7},
    }


async def test_tenants_see_their_own_without_names(
    client: httpx.AsyncClient, history: None, bob: dict[str, str]
) -> None:
    answer = (await client.get(WHY)).json()
    assert [
        (start["entry"]["why"], start["entry"]["who"], start["entry"]["evidence"]) for start in answer["starts"]
    ] == [
        ("The ledger begins", None, None),
        ("first move", None, None),
        ("first move", None, None),
    ]
    assert "ada" not in json.dumps(answer)
    assert (await client.get(WHY, headers=bob)).status_code == 404
    assert (await client.get("/gateway/v1/tasks/nothing/why")).status_code == 404
    waiting = (await client.get("/gateway/v1/tasks/t-2/why", headers=bob)).json()
    assert (waiting["state"], waiting["starts"]) == ("waiting", [])
    for path in (LEDGER, f"{LEDGER}/verification"):
        assert (await client.get(path)).status_code == 403


async def test_the_ledger_is_listed_with_what_ran(as_root: httpx.AsyncClient) -> None:
    answer = (await as_root.get(LEDGER, params={"limit": 2})).json()
    assert [(flip["id"], flip["tasks"]) for flip in answer["flips"]] == [(3, {}), (2, {"queued": 1})]
    rest = (await as_root.get(LEDGER, params={"cursor": answer["next_cursor"]})).json()
    assert ([flip["id"] for flip in rest["flips"]], rest["next_cursor"]) == ([1], None)
    of_ann = (await as_root.get(LEDGER, params={"tenant_id": "t-ann"})).json()
    assert [flip["id"] for flip in of_ann["flips"]] == [2, 1]
    late = (await as_root.get(LEDGER, params={"since": "2126-01-01T00:00:00Z"})).json()
    assert late == {"flips": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"tenant_id": "nobody"}, 404),
        ({"since": "yesterday"}, 422),
        ({"since": "2026-01-01T00:00:00"}, 422),
        ({"since": "0001-01-01T00:00:00+14:00"}, 422),
        ({"cursor": "x"}, 422),
        ({"cursor": "-1"}, 422),
        ({"limit": 0}, 422),
        ({"limit": 201}, 422),
    ],
)
async def test_bad_input(as_root: httpx.AsyncClient, query: dict[str, Any], status: int) -> None:
    assert (await as_root.get(LEDGER, params=query)).status_code == status


async def test_verification(as_root: httpx.AsyncClient, database: Database) -> None:
    sound = (await as_root.get(f"{LEDGER}/verification")).json()
    assert (sound["is_sound"], sound["entries"], sound["breaks"]) == (True, 3, [])
    await database.execute("UPDATE taskgate.ledger SET who = 'mallory' WHERE id = 2")
    broken = (await as_root.get(f"{LEDGER}/verification")).json()
    assert broken["breaks"] == [{"entry_id": 2, "problem": "its text is not what was written"}]


async def test_the_commands(
    run: Any, history: None, admin: dict[str, str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKGATE_API_KEY", admin["Authorization"].removeprefix("Bearer "))
    monkeypatch.setenv("TASKGATE_DATABASE_URL", database.url)
    code, output = await run("task", "why", "t-1")
    assert code == 0, output
    lines = output.splitlines()
    assert lines[0] == "task t-1, tenant t-ann: queued"
    assert lines[1].startswith("start 1, run 1 on redis ")
    assert lines[1].endswith(", lost: stage unknown, by a rule that was not recorded")
    assert lines[2].startswith("  entry 1  ")
    assert lines[2].endswith("Z  all (genesis): The ledger begins")
    assert lines[5] == "start 3 on temporal: stage live, by target"
    assert lines[6].endswith("tenant:t-ann: off to live by ada (file): first move")
    assert lines[7] == "now: stage off, by no flag"
    assert (await run("task", "why", "t-2"))[1].splitlines()[1].startswith("it was not started yet (waiting)")

    code, output = await run("migration", "ledger", "--tenant", "t-ann")
    assert (code, len(output.splitlines())) == (0, 3), output
    assert "tenant:t-ann" in output
    code, output = await run("migration", "ledger", "--json", "--since", "2026-01-01T00:00:00Z")
    assert [flip["id"] for flip in json.loads(output)] == [3, 2, 1]
    assert await run("migration", "ledger", "expire", "--before", "2026-01") == (0, "expired: nothing\n")
    assert (await run("migration", "ledger", "expire", "--before", "soon"))[0] == 2

    code, output = await run("migration", "ledger", "verify")
    assert (code, output.startswith("sound: 3 entries; the last, 3: ")) == (0, True)
    await database.execute("DELETE FROM taskgate.ledger WHERE id = 2")
    code, output = await run("migration", "ledger", "verify")
    assert (code, output.splitlines()[0]) == (3, "entry 3: entry 2 is gone from before it")
