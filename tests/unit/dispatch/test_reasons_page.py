"""The page for operators says what to do about every reason for which a task waits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.dispatch.unserved import no_worker
from gateway.dispatch.waiting_reason import Reason

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "operators.md").read_text(encoding="utf-8")
SHOWN = [
    text for row in re.findall(r"^\| (`.*?) \| ", PAGE, re.M) for text in re.findall(r"(`+) ?(.+?) ?\1(?=,|$)", row)
]


@pytest.mark.parametrize("reason", Reason)
def test_it_is_in_the_table(reason: Reason) -> None:
    pattern = re.compile(".+".join(map(re.escape, reason.split("{}"))))
    assert [text for _, text in SHOWN if pattern.fullmatch(text)]


def test_so_is_a_type_without_workers() -> None:
    assert no_worker("slow", "temporal") in [text for _, text in SHOWN]
