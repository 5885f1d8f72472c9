"""From a task to its trace and to Temporal's own pages, which are opened for real."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from playwright.async_api import Browser, Page, expect

from contracts.people import Household
from contracts.world import PATIENCE, World
from deploy.local.jaeger import JaegerPart
from deploy.local.ports import free_port
from deploy.local.temporal_ui import TemporalUiPart
from gateway.observability.instrumentation import restore_libraries
from gateway.routing.stages import Stage
from visitor import Visitor, visiting
from workers.testing.waiting import eventually


async def opened_by(page: Page, name: str) -> Page:
    """What a link opens beside this page."""
    async with page.context.expect_page() as opened:
        await page.get_by_role("link", name=name).press("Enter")
    return await opened.value


@pytest.mark.timeout(1200)  # the first one builds both servers
async def test_the_links_of_a_task_lead_to_its_trace_and_its_workflow(
    browser: Browser,
    world: World,
    home: Household,
    temporal_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pictures: Path | None,
) -> None:
    await world.flag.set(Stage.LIVE, home.tenant_id)
    jaeger = JaegerPart(tmp_path / "jaeger", free_port(), lambda _: None)
    temporal_ui = TemporalUiPart(tmp_path / "ui", free_port(), lambda _: None, temporal=temporal_server)
    try:
        await asyncio.gather(jaeger.start(), temporal_ui.start())
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", jaeger.otlp_url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        settings: dict[str, Any] = {
            "trace_share": 1.0,
            # Built by `go install`, Jaeger has no pages of its own: what it answers is the trace all the same.
            "trace_url": f"{jaeger.url}/api/traces/{{trace_id}}",
            "temporal_ui_url": temporal_ui.url,
        }
        async with world.another_gateway(**settings) as url, visiting(browser, url, pictures) as visit:
            with suppress_instrumentation():  # the client in this process is not part of what is traced
                task_id = await world.submit(home, at=url)
            await world.ended(task_id)
            visitor: Visitor = await visit()
            await visitor.sign_in(home.owner.key, f"tasks/{task_id}")
            address = await visitor.page.get_by_role("link", name="Trace").get_attribute("href") or ""
            await eventually(lambda: jaeger.trace(address.rpartition("/")[2]), bool, within=PATIENCE, pause=0.1)
            trace = await opened_by(visitor.page, "Trace")
            await expect(trace.get_by_text("POST /gateway/v1/tasks").first).to_be_visible()
            await expect(trace.get_by_text(task_id).first).to_be_visible()
            await trace.close()
            workflows = await opened_by(visitor.page, "In Temporal's UI")
            await expect(workflows.get_by_text(f"task-{task_id}").first).to_be_visible()
            if pictures is not None:
                await workflows.screenshot(path=pictures / "temporal-ui.png")
            await workflows.close()
    finally:
        await asyncio.gather(jaeger.kill(), temporal_ui.kill())
        restore_libraries()
