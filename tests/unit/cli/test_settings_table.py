"""The documented settings are the real ones."""

from __future__ import annotations

from pathlib import Path

from gateway.cli.settings import markdown, rows


def test_the_documented_table_is_up_to_date() -> None:
    documented = (Path(__file__).resolve().parents[3] / "docs" / "settings.md").read_text(encoding="utf-8")
    assert markdown() in documented, "regenerate with: taskgate settings --markdown"


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, _, meaning in rows() if not meaning] == []
