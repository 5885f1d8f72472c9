"""How long a run may last, by its handler, its task and its engine, and what a slow claim does to that."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.tasks.lifecycle.claim import Claim
from workers.time_limit import time_limit

CLAIM = Claim("t", 1, 1, "w", None, None, None, "g", "probe", None)


class Handler:
    def __init__(self, seconds: float) -> None:
        self.timeout_seconds = seconds


@pytest.mark.parametrize(
    ("own", "engine", "waited", "limit"),
    [
        (10, None, 100, 10),
        (10, 40, 0, 10),
        (10, 40, 35, None),
        (3600, 630, 6, 624),
        (3600, 630, 400, None),
        (3600, 630, 0, 630),
        (39, 40, 3, 37),
    ],
)
def test_of_a_claim_that_waited(own: float, engine: float | None, waited: float, limit: float | None) -> None:
    handler: Any = Handler(own)
    found = time_limit(handler, CLAIM, engine, waited)
    assert (found and found.seconds) == limit
