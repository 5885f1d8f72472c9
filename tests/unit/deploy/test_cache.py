"""The cache: one build for all who ask, whole or not at all."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from deploy.local.cache import cache_dir, file_lock, obtain


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASKGATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


async def test_an_entry_is_built_once_for_all_who_ask_at_once() -> None:
    builds = 0

    async def build(directory: Path) -> None:
        nonlocal builds
        builds += 1
        await asyncio.sleep(0)
        (directory / "file").write_text("built")

    entries = await asyncio.gather(*(obtain("thing", build) for _ in range(5)))
    assert builds == 1
    assert {(entry / "file").read_text() for entry in entries} == {"built"}


async def test_who_waits_for_another_is_told_once() -> None:
    told: list[str] = []
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(directory: Path) -> None:
        entered.set()
        await leave.wait()

    async def never(directory: Path) -> None:
        raise AssertionError("built twice")

    def waiting() -> None:
        told.append("waiting")
        leave.set()

    first = asyncio.create_task(obtain("thing", slow))
    await entered.wait()
    await obtain("thing", never, waiting)
    await first
    assert told == ["waiting"]


async def test_a_build_that_fails_leaves_nothing_behind(own_cache: Path) -> None:
    async def broken(directory: Path) -> None:
        (directory / "half").write_text("half")
        raise RuntimeError("no disk")

    async def good(directory: Path) -> None:
        (directory / "whole").write_text("whole")

    with pytest.raises(RuntimeError, match="no disk"):
        await obtain("thing", broken)
    assert os.listdir(own_cache) == ["locks"]
    assert os.listdir(await obtain("thing", good)) == ["whole"]


async def test_a_waiting_lock_can_be_cancelled(tmp_path: Path) -> None:
    contended = asyncio.Event()

    async def second() -> None:
        async with file_lock(tmp_path / "lock", contended.set):
            raise AssertionError("two holders")

    async with file_lock(tmp_path / "lock"):
        task = asyncio.create_task(second())
        await contended.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_without_a_setting_the_cache_is_in_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKGATE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "taskgate"
