"""`taskgate flags` and `taskgate route override` through a gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.storage.database import Database


@pytest.fixture
def run_as_admin(run: Callable[..., Any], admin: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Against a gateway whose flag is in the database; this host has neither."""
    monkeypatch.setenv("TASKGATE_API_KEY", admin["Authorization"].removeprefix("Bearer "))
    monkeypatch.setenv("TASKGATE_DATABASE_URL", "postgresql://postgres@127.0.0.1:1/none")
    monkeypatch.delenv("TASKGATE_FLAGS_FILE", raising=False)
    return run


async def test_from_set_to_history(run_as_admin: Callable[..., Any], database: Database) -> None:
    code, output = await run_as_admin("flags", "set", "--tenant", "t-ann", "--stage", "live", "--why", "pilot")
    assert (code, output.splitlines()[0]) == (0, "tenant t-ann: not set → live  (version 1, root)")
    code, output = await run_as_admin("flags", "show")
    assert code == 0
    assert "flag task-backend (database, version 1)" in output
    assert "tenant t-ann  live       new tasks run on Temporal" in output
    code, output = await run_as_admin(
        "flags", "set", "--tenant", "t-ann", "--stage", "off", "--why", "x", "--based-on", "0"
    )
    assert code == 2
    assert "the flag has version 1, this change is based on 0: root changed tenant t-ann" in output
    code, _ = await run_as_admin("flags", "rollout", "--stage", "live", "--percent", "10", "--why", "tenth")
    assert code == 0
    code, _ = await run_as_admin("flags", "unset", "--tenant", "t-ann", "--why", "follows")
    assert code == 0
    code, output = await run_as_admin("flags", "history", "--json")
    assert [(one["what"], one["why"]) for one in json.loads(output)] == [
        ("tenant t-ann", "pilot"),
        ("default", "tenth"),
        ("tenant t-ann", "follows"),
    ]
    entries = "SELECT count(*) FROM taskgate.ledger WHERE who = 'root' AND scope = 'tenant:t-ann'"
    assert await database.fetchval(entries) == 2


async def test_overrides(run_as_admin: Callable[..., Any]) -> None:
    override = ("route", "override")
    code, output = await run_as_admin(*override, "set", "--all", "--stage", "off", "--why", "incident")
    assert (code, output.splitlines()[0]) == (0, "everything: off, until it is cleared, by root (incident)")
    code, _ = await run_as_admin(*override, "set", "--all", "--stage", "live", "--why", "better")
    assert code == 0
    code, output = await run_as_admin(*override, "list", "--json")
    assert [(row["tenant"], row["stage"]) for row in json.loads(output)] == [(None, "live")]
    code, output = await run_as_admin(*override, "clear", "--all", "--why", "over")
    assert (code, output) == (0, "default: the flag decides again\n")
    code, output = await run_as_admin(*override, "clear", "--all", "--why", "over")
    assert (code, output) == (2, "error: there is no override for default\n")


async def test_an_unknown_tenant_takes_force(run_as_admin: Callable[..., Any]) -> None:
    arguments = ("flags", "set", "--tenant", "t-nan", "--stage", "live", "--why", "x")
    code, output = await run_as_admin(*arguments)
    assert code == 2
    assert output == "error: there is no tenant 't-nan'; --force (force: true) sets it all the same\n"
    code, output = await run_as_admin(*arguments, "--force")
    assert code == 0
    assert "warning: there is no tenant 't-nan'; it is set all the same" in output


async def test_who_did_it_is_whose_key_it_was(run_as_admin: Callable[..., Any]) -> None:
    code, output = await run_as_admin(
        "flags", "set", "--tenant", "t-ann", "--stage", "live", "--why", "x", "--by", "ada"
    )
    assert (code, "--by goes together with --local" in output) == (2, True)


async def test_import_and_export_between_file_and_database(
    run_as_admin: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was kept on this host goes into the database, and out of it again, as it was."""
    path = tmp_path / "flags.json"
    monkeypatch.setenv("TASKGATE_FLAGS_FILE", str(path))
    for tenant, stage in (("t-ann", "live"), ("t-bob", "shadow")):
        code, _ = await run_as_admin("flags", "set", "--local", "--tenant", tenant, "--stage", stage, "--why", "x")
        assert code == 0
    code, output = await run_as_admin("flags", "import", str(path), "--why", "to the database")
    assert (code, output.splitlines()[0]) == (0, "flags: default off → default off, 2 settings  (version 1, root)")
    code, output = await run_as_admin("flags", "show", "--json")
    assert [(one["tenant"], one["stage"]) for one in json.loads(output)["settings"]] == [
        ("t-ann", "live"),
        ("t-bob", "shadow"),
    ]
    code, output = await run_as_admin("flags", "export")
    exported, kept = json.loads(output), json.loads(path.read_text())
    assert exported["flags"]["task-backend"] | {"version": 2} == kept["flags"]["task-backend"]
    back = tmp_path / "exported.json"
    back.write_text(output)
    code, _ = await run_as_admin("flags", "import", "--local", str(back), "--why", "back")
    assert (code, json.loads(path.read_text())["flags"]["task-backend"]["version"]) == (0, 3)
    (tmp_path / "broken.json").write_text("{")
    code, output = await run_as_admin("flags", "import", str(tmp_path / "broken.json"), "--why", "x")
    assert (code, "it is not JSON" in output) == (2, True)
