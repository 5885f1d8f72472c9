"""What is used of a quota, in words."""

from __future__ import annotations

from gateway.cli.tenant import quota_table


def test_a_quota_without_a_limit_says_so() -> None:
    quota = {
        "project_id": None,
        "used": {"queued": 3, "running": 0, "per_minute": 0, "bytes_per_day": 0},
        "limits": {"queued": 10, "running": None, "per_minute": 0, "bytes_per_day": None},
    }
    text = quota_table([quota])
    assert "3 of 10" in text
    assert text.count("0 (no limit)") == 2
    assert "0 of 0" in text
