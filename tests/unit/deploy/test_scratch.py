"""Data of test servers is in memory only where there is room for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local import scratch


def test_where_there_is_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scratch, "MEMORY", tmp_path)
    monkeypatch.setattr(scratch, "NEEDED_BYTES", 0)
    assert scratch.scratch() == tmp_path


def test_where_there_is_too_little(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scratch, "MEMORY", tmp_path)
    monkeypatch.setattr(scratch, "NEEDED_BYTES", 1 << 60)
    assert scratch.scratch() is None


def test_where_there_is_no_such_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scratch, "MEMORY", tmp_path / "none")
    assert scratch.scratch() is None
