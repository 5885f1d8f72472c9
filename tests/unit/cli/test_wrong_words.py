"""A command line that cannot be meant is answered by one line that says what to type instead."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app

#: What was typed, and what the answer says to type.
WRONG = [
    ("task list --filter error", "such as --filter type=add_episode"),
    ("task submit --type a --label urgent", "such as --label team:search"),
    ("task submit", "--type add_episode"),
    ("task submit --type a --payload []", 'such as {"name": "value"}'),
    ("task submit --type a --payload {'a':1}", 'double quotes, as in {"name": "value"}'),
    ("dag run hourly --param depth", "such as --param depth=3"),
    ("migration rehearsal tasks --tenant acme --verdict good", "write --verdict ready"),
    ("migration ledger expire --before January", "such as --before 2026-01"),
    ("dead-letter redrive", "write the ids of dead letters, or --all"),
    ("dead-letter redrive d1 --type a", "write --all, too, or leave the filters out"),
    ("dead-letter redrive --all --patch {}", "write their ids in place of --all"),
    ("dead-letter redrive d1 --spread 60", "--spread goes with --all"),
    ("dead-letter redrive d1 --no-wait", "--wait goes with --all"),
    ("dead-letter redrive d1 --patch {} --dry-run", "leave one of them out"),
    ("callback resend", "write the ids of callbacks, or --dead"),
    ("task submit --type a --each", "goes with --file"),
    ("task submit --file - --tenant acme", "leave it out here"),
    ("settings --json --markdown", "write one of them"),
]


@pytest.mark.parametrize(("line", "says"), WRONG, ids=[line for line, _ in WRONG])
def test_it_says_what_to_type(line: str, says: str) -> None:
    done = CliRunner().invoke(app, line.split())
    assert done.exit_code == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert "is wanted" not in done.stderr
