from __future__ import annotations

import fcntl
import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.routing import flag_file
from gateway.routing.errors import FlagChangeRefused, FlagFileBusy, FlagFileInvalid
from gateway.routing.flag_edit import new_flag, settings_of, with_stage
from gateway.routing.flag_file import FlagChange, FlagFile
from gateway.routing.flag_text import describe_scope
from gateway.routing.query import Scope
from gateway.routing.stages import Stage

KEY = "task-backend"
Put = Callable[..., FlagChange]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flags" / "flags.json"


@pytest.fixture
def put(path: Path) -> Put:
    """Set a tenant's stage, with a file object of its own, as another process would have."""

    def put(tenant: str, stage: Stage = Stage.LIVE, *, who: str = "ada", why: str = "a reason") -> FlagChange:
        scope = Scope(tenant)
        return FlagFile(path, KEY).edit(
            lambda flag: with_stage(flag, scope, stage),
            who=who,
            why=why,
            what=str(scope),
            describe=lambda flag: describe_scope(flag, scope),
        )

    return put


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.parent.iterdir()}


def test_the_first_edit_makes_the_file(path: Path, put: Put) -> None:
    assert FlagFile(path, KEY).read() is None
    change = put("acme")
    flag = json.loads(path.read_text())["flags"][KEY]
    assert flag["version"] == change.version == 1
    assert flag["fallthrough"] == {"variation": 0}
    assert settings_of(flag) == {Scope("acme"): Stage.LIVE}
    assert names(path) == {"flags.json", "flags.json.lock", "flags.json.history.jsonl"}


def test_who_what_and_why_are_recorded(path: Path, put: Put) -> None:
    put("acme", Stage.LIVE, who="ada", why="first ")
    put("acme", Stage.OFF, who="bob", why="Zurück – zu langsam")
    first, second = FlagFile(path, KEY).history()
    assert (first.who, first.what, first.before, first.after) == ("ada", "tenant acme", "not set", "live")
    assert (second.who, second.before, second.after, second.why) == ("bob", "live", "off", "Zurück – zu langsam")
    assert (first.why, first.version, second.version) == ("first", 1, 2)
    assert first.at <= second.at


def test_a_reason_is_required(path: Path, put: Put) -> None:
    with pytest.raises(FlagChangeRefused, match="say why"):
        put("acme", why=" ")
    assert not path.exists()


def test_lines_that_are_no_record_are_passed_over(path: Path, put: Put) -> None:
    put("acme")
    with FlagFile(path, KEY).history_path.open("a") as history:
        history.write('half a li\n{"at": "x"}\n[]\n')
    put("globex")
    assert [change.what for change in FlagFile(path, KEY).history()] == ["tenant acme", "tenant globex"]


def test_edits_at_the_same_time_are_all_kept(path: Path, put: Put) -> None:
    tenants = [f"tenant-{number}" for number in range(24)]
    barrier = threading.Barrier(4)

    def edit(mine: list[str]) -> None:
        barrier.wait()
        for tenant in mine:
            put(tenant)

    threads = [threading.Thread(target=edit, args=(tenants[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flag = FlagFile(path, KEY).read()
    assert flag is not None
    assert settings_of(flag) == {Scope(tenant): Stage.LIVE for tenant in tenants}
    assert flag["version"] == 24
    assert [change.version for change in FlagFile(path, KEY).history()] == list(range(1, 25))


def test_an_edit_that_waits_too_long_says_so(path: Path, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("acme")
    monkeypatch.setattr(flag_file, "LOCK_SECONDS", 0.0)
    with path.with_name("flags.json.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FlagFileBusy):
            put("globex")
    put("globex")


@pytest.mark.parametrize("text", ["", "{", '{"flags": {}}', '{"flagValues": {"task-backend": "live"}}', "\xff"])
def test_a_file_that_cannot_be_edited_stays_as_it_is(path: Path, put: Put, text: str) -> None:
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FlagFileInvalid, match=r"flag file .*flags\.json"):
        put("acme")
    assert path.read_bytes() == text.encode("latin-1")
    assert FlagFile(path, KEY).history() == []


def test_a_change_that_would_break_the_flag_is_not_written(path: Path, put: Put) -> None:
    put("acme")
    before = path.read_bytes()
    with pytest.raises(FlagFileInvalid):
        FlagFile(path, KEY).edit(
            lambda flag: flag | {"fallthrough": {}}, who="ada", why="oops", what="x", describe=lambda flag: ""
        )
    assert path.read_bytes() == before


def test_a_failed_replacement_leaves_the_old_file(path: Path, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("acme")
    before, listed = path.read_bytes(), names(path)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        put("globex")
    assert path.read_bytes() == before
    assert names(path) == listed


def test_other_flags_mode_and_links_are_kept(path: Path, put: Put) -> None:
    path.parent.mkdir()
    real = path.with_name("real.json")
    other = {"key": "other", "version": 3, "on": False, "variations": [True]}
    real.write_text(json.dumps({"flags": {KEY: new_flag(KEY), "other": other}, "segments": {}}))
    real.chmod(0o640)
    path.symlink_to(real)
    put("acme")
    assert path.is_symlink()
    assert json.loads(real.read_text())["flags"]["other"] == other
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
