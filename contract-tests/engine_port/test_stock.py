"""What an engine holds, when it counts that."""

from __future__ import annotations

from backends.port import Place, WorkflowEnginePort
from workers.outcome import Completed
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start


async def test_what_it_holds_is_counted_if_anything_is(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    await engine.start_workflow(new_start())
    running = await harness.receive()
    await engine.start_workflow(new_start())
    held = await engine.take_stock()
    places = {stock.place: (stock.tasks, stock.is_foreign) for stock in held}
    assert places == ({Place.HELD: (1, False), Place.WAITING: (1, False)} if held else {})
    await harness.finish(running, Completed())
    assert [stock.place for stock in await engine.take_stock()] == ([Place.WAITING] if held else [])
