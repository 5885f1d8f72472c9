"""When a task is offered again that another attempt holds."""

from __future__ import annotations

import pytest

from workers.claims import held_pause


@pytest.mark.parametrize(("claimed", "pause"), [(None, 1), (0.0, 1), (9.0, 1), (30.0, 3), (80.0, 8), (86400.0, 10)])
def test_the_longer_it_runs_the_longer_is_the_pause(claimed: float | None, pause: float) -> None:
    assert held_pause(claimed).total_seconds() == pytest.approx(pause)
