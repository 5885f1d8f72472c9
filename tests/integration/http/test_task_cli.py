"""`taskgate task …` against a gateway on a real port."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.storage.database import Database

Command = Callable[..., Any]


@pytest.fixture
def task(run: Command, key: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`taskgate task …` with ann's key: exit code and output."""
    monkeypatch.setenv("TASKGATE_API_KEY", key)
    return lambda *words: run("task", *words)


async def test_submit_list_show(task: Command) -> None:
    code, text = await task(
        *("submit", "--type", "probe", "--payload", '{"n": 1}', "--project", "p-ann", "--priority", "2"),
        *("--delay", "60", "--label", "run:1", "--unique-key", "k", "--attempts", "5", "--ttl", "30"),
    )
    assert code == 0, text
    task_id = text.strip()
    shown = json.loads((await task("show", task_id, "--json"))[1])
    assert (shown["priority"], shown["labels"], shown["unique_key"], shown["max_attempts"]) == (2, {"run": "1"}, "k", 5)
    assert "unique_key" in (await task("show", task_id))[1]
    await task("submit", "--type", "other")
    code, text = await task("list", "--label", "run:1", "--state", "waiting", "--filter", "priority=2")
    assert (code, task_id in text, "run:1" in text, "other" in text) == (0, True, True, False)
    found = json.loads((await task("list", "--json"))[1])
    assert [row["task_type"] for row in found] == ["other", "probe"]
    assert (await task("list", "--type", "none"))[1] == "no tasks\n"
    again = ("submit", "--type", "probe", "--unique-key", "k")
    code, text = await task(*again)
    assert (code, task_id in text) == (2, True)
    assert await task(*again, "--existing") == (0, f"{task_id}\n")


async def test_many_from_a_file(task: Command, tmp_path: Path, database: Database) -> None:
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps([{"type": "probe"}, {"type": "a b"}]))
    code, text = await task("submit", "--file", str(file))
    assert code == 2
    code, text = await task("submit", "--file", str(file), "--each")
    assert (code, text.splitlines()[0]) == (3, "1 accepted, 0 already active, 1 refused")
    assert "tasks[1]: type" in text
    assert await database.fetchval("SELECT count(*) FROM task_logs") == 1


async def test_payload(task: Command) -> None:
    given = json.dumps({"name": "Zo\u00eb", "api_key": "s3"})
    task_id = (await task("submit", "--type", "probe", "--payload", given))[1].strip()
    code, text = await task("payload", task_id)
    shown = json.loads(text)
    assert (code, shown["name"], shown["api_key"]) == (0, "Zo\u00eb", "[redacted]")
    assert json.loads((await task("payload", task_id, "--json"))[1])["is_cut"] is False
    large = (await task("submit", "--type", "probe", "--payload", json.dumps({"text": "x" * 300_000})))[1].strip()
    code, text = await task("payload", large)
    assert (code, "this is the beginning of 300" in text) == (0, True)
    assert (await task("payload", "nothing"))[0] == 2


async def test_stop_and_retry(task: Command, database: Database) -> None:
    ids = [(await task("submit", "--type", "probe"))[1].strip() for _ in range(2)]
    assert await task("stop", *ids) == (0, f"stopped {ids[0]}\nstopped {ids[1]}\n")
    assert (await task("stop", ids[0]))[0] == 2
    assert (await task("retry", ids[0]))[0] == 0
    code, text = await task("retry", ids[1], ids[0], "--json")
    refusal, done = text.split("\n", 1)
    assert (code, refusal[:7], json.loads(done)) == (2, "error: ", [{"task_id": ids[1]}])
    assert await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = $1", ids[0]) == "waiting"


async def test_bulk(task: Command, database: Database) -> None:
    for number in range(3):
        await task("submit", "--type", "probe", "--label", f"run:{number // 2}")
    code, text = await task("bulk", "cancel", "--label", "run:0", "--dry-run")
    assert (code, text.startswith("tasks: 2, e.g. ")) == (0, True)
    code, text = await task("bulk", "cancel", "--label", "run:0")  # nobody says yes
    assert (code, "cancel: 2 tasks?" in text) == (1, True)
    code, text = await task("bulk", "cancel", "--label", "run:0", "--yes", "--no-wait", "--json")
    assert (code, json.loads(text)["total"]) == (0, 2)
    assert (await task("bulk", "cancel", "--yes"))[0] == 2
    assert (await task("bulk", "destroy", "--type", "probe", "--yes"))[0] == 2


@pytest.mark.parametrize(
    "words",
    [
        ("submit",),
        ("submit", "--type", "probe", "--payload", "{"),
        ("submit", "--type", "probe", "--payload", "[]"),
        ("submit", "--type", "probe", "--payload", "@nowhere.json"),
        ("submit", "--type", "probe", "--label", "x"),
        ("submit", "--type", "probe", "--label", "x:1", "--label", "x:2"),
        ("bulk", "cancel", "--label", "x:1", "--label", "x:2", "--yes"),
        ("submit", "--file", "nowhere.json"),
        ("list", "--filter", "colour"),
        ("list", "--filter", "colour=red"),
        ("show", "unknown"),
        ("retry", "unknown"),
    ],
)
async def test_what_is_refused(task: Command, words: tuple[str, ...]) -> None:
    code, text = await task(*words)
    assert (code, text.startswith("error: ")) == (2, True), text
