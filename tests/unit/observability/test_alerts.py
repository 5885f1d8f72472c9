"""Every alert has a runbook, and tests of both kinds; promtool runs these (tests/system/observability)."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
PLACE = ROOT / "deploy" / "observability"
RULES = [rule for group in yaml.safe_load((PLACE / "rules.yml").read_text())["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]


def test_every_alert_has_a_runbook_and_tests_of_both_kinds() -> None:
    tests = yaml.safe_load((PLACE / "rules.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    names = {rule["alert"] for rule in ALERTS}
    assert fires == silent == names
    assert [one["alert"] for one in ALERTS if not (ROOT / one["annotations"]["runbook_url"]).is_file()] == []
