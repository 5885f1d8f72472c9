"""What a process of an isolated handler reads as its settings, where a secret of the worker came by file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contracts import rehearsing
from gateway.settings import Settings, read_settings
from gateway.storage.database import Database
from gateway.tasks.lifecycle.claim import Claim
from gateway.tasks.lifecycle.transitions import Transitions
from workers.execution.isolated import IsolatedExecution, environment_for
from workers.progress import ProgressReporter

PLUG_INS = Path(rehearsing.__file__).parents[1]


@pytest.fixture
def named(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the address, which the environment names."""
    path = tmp_path / "database"
    path.write_text(f"{database.url}\n")
    monkeypatch.delenv("TASKGATE_DATABASE_URL", raising=False)
    monkeypatch.setenv("TASKGATE_DATABASE_URL_FILE", str(path))
    monkeypatch.setenv("TASKGATE_HANDLERS", "contracts.rehearsing")
    monkeypatch.setenv("TASKGATE_ISOLATED_TYPES", "*")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUG_INS), os.environ.get("PYTHONPATH", "")]))
    return path


@pytest.mark.parametrize("is_in_code", [False, True], ids=["by file", "in code, beside a file"])
async def test_a_task_runs(is_in_code: bool, named: Path, database: Database, transitions: Transitions) -> None:
    settings = Settings(database_url=database.url) if is_in_code else read_settings()
    execution = IsolatedExecution(settings)
    claim = Claim("t1", 1, 1, "w1", None, None, None, "g", "rehearse_good", None)
    try:
        reporter = ProgressReporter(transitions, claim)
        await execution.run(claim, {"task_id": "t1"}, reporter)
        assert reporter.result is None
    finally:
        await execution.close()


def test_it_follows_the_file_itself(named: Path) -> None:
    settings = read_settings()
    assert settings.by_file == {"database_url"}
    environment = environment_for(settings)
    assert environment["TASKGATE_DATABASE_URL_FILE"] == str(named)
    assert "TASKGATE_DATABASE_URL" not in environment


def test_what_was_given_in_code_outranks_the_file(named: Path) -> None:
    environment = environment_for(Settings(database_url="postgresql://code/db"))
    assert environment["TASKGATE_DATABASE_URL"] == "postgresql://code/db"
    assert "TASKGATE_DATABASE_URL_FILE" not in environment
