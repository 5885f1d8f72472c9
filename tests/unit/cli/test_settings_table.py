"""The documented settings are the real ones."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.cli.settings import markdown, rows


def test_the_documented_table_is_up_to_date() -> None:
    documented = (Path(__file__).resolve().parents[3] / "docs" / "settings.md").read_text(encoding="utf-8")
    assert markdown() in documented, "regenerate with: taskgate settings --markdown"


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, _, meaning in rows() if not meaning] == []


def test_as_json_they_are_what_they_are_as_text() -> None:
    found = json.loads(CliRunner().invoke(app, ["settings", "--json"]).stdout)
    assert [(one["variable"], one["default"] or "", one["meaning"]) for one in found] == rows()
    assert CliRunner().invoke(app, ["settings", "--json", "--markdown"]).exit_code == 2
