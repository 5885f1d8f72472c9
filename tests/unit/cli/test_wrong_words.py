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
    ("callback resend c1 --tenant acme", "leave it or the ids out"),
    ("callback secret --tenant acme --overlap 1", "goes with --rotate"),
    ("task list --filter error=a --filter error=b", "write one of them"),
    ("task bulk cancel --tenant acme --filter tenant_id=other", "write one of them"),
    ("task bulk cancel --label a:b --filter labels=a:c", "write one of them"),
    ("task submit --type a --each", "goes with --file"),
    ("task submit --type a --existing", "goes with --unique-key"),
    ("task submit --file - --tenant acme", "leave it out here"),
    ("task stop ", "an id or a name is empty"),
    ("schedule delete ", "an id or a name is empty"),
    ("resume p1 --tenant acme", "write one of them"),
    ("workers w1 --pool A", "leave it or the id out"),
    ("workers --times 3", "goes with --watch"),
    ("simulate --trace trace.jsonl --tasks 5", "leave it or --trace out"),
    ("dag run hourly -p a=1 -p a=2", "write one of them"),
    ("release --by ", "--by must not be empty"),
    ("recover --by ", "--by must not be empty"),
    ("recover drop --all --by ", "--by must not be empty"),
    ("recover --dry-run start --all --yes", "--dry-run has no effect before `start`"),
    ("migration rehearsal --hours 3 tasks --tenant acme", "--hours has no effect before `tasks`"),
    ("migration parity --tenant acme gate --tenant acme --type a --samples 9", "no effect before `gate`"),
    ("migration ledger --tenant acme verify", "no effect before `verify`"),
    ("route explain --tenant acme --type a --task ", "--task must not be empty"),
    ("migration plan new --template pilot --name  --why x --stage live --tenants a", "/name"),
    ("flags set --local --stage live --tenant acme --why x --by ", "--by must not be empty"),
    ("settings --json --markdown", "write one of them"),
]


@pytest.mark.parametrize(("line", "says"), WRONG, ids=[line for line, _ in WRONG])
def test_it_says_what_to_type(line: str, says: str) -> None:
    done = CliRunner().invoke(app, line.split(" "))
    assert done.exit_code == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert "is wanted" not in done.stderr
