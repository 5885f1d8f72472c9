"""A sweep over the open nodes that takes long is made less often; what is notified is not kept waiting by that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from backends.port import Capability
from gateway.dags.run_notifier import SQL, RunNotifier
from gateway.dags.watch import RunWatch
from gateway.errors import DatabaseUnavailable
from gateway.storage.driver_errors import StatementTooLong


class Slow:
    """A database in which each of these takes a second, and the clock that says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.looks: list[tuple[str, Any]] = []
        self.cut_off: str | None = None

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        self.looks.append(("abandoned" if query == SQL.abandoned else "ended", *values[:1]))
        self.now += 1
        if query == self.cut_off:
            raise DatabaseUnavailable from StatementTooLong(8.0)
        return []


@pytest.fixture
def db() -> Any:
    return Slow()


@pytest.fixture
def notifier(db: Any) -> RunNotifier:
    engine: Any = SimpleNamespace(capabilities={Capability.WORKFLOWS})
    listener: Any = SimpleNamespace(subscribe=lambda *channel, **heard: None)
    changes: Any = None
    return RunNotifier(db, listener, {"temporal": engine}, changes, RunWatch(db), clock=lambda: db.now)


async def test_a_sweep_that_takes_long_rests(notifier: RunNotifier, db: Any) -> None:
    """With 100,000 open nodes both looks took 0.8 s a second, in each gateway."""
    await notifier._sweep()
    assert db.looks == [("abandoned",), ("ended", None)]
    await notifier._sweep()
    assert len(db.looks) == 2
    await notifier._take(["a node that has ended"])
    assert db.looks[-1] == ("ended", ["a node that has ended"]), "what is notified is taken at once"
    db.now += 9
    await notifier._sweep()
    assert len(db.looks) == 5


@pytest.mark.parametrize("query", [SQL.abandoned, SQL.take_ended], ids=["abandoned", "ended"])
async def test_one_that_is_cut_off_leaves_the_other_its_turn(notifier: RunNotifier, db: Any, query: str) -> None:
    db.cut_off = query
    await notifier._sweep()
    assert db.looks == [("abandoned",), ("ended", None)]
    await notifier._sweep()
    assert len(db.looks) == 2, "it rests"
    db.now += 9
    await notifier._sweep()
    assert len(db.looks) == 4
