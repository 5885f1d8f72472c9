"""The example of `docs/handlers.md` does what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from workers.execution.inline import InlineExecution
from workers.handlers.base import TaskRegistry

PAGE = Path(__file__).parents[3] / "docs/handlers.md"


class Context:
    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []

    async def _update_task_log(self, task_id: str, status: str, **report: Any) -> None:
        self.reports.append(report)


@pytest.mark.parametrize(
    ("task_type", "result", "progress"),
    [("summarise", {"summary": ["one", "two"]}, [50, 100]), ("thumbnail", {"width": 120}, [50])],
)
async def test_the_example(task_type: str, result: dict[str, Any], progress: list[int]) -> None:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {"__name__": "my_tasks.summaries"}
    exec(code[1], names)
    registry, context = TaskRegistry(), Context()
    names["register"](registry)
    handler = registry.get_handler(task_type)
    assert handler is not None
    payload = {"task_id": "t", "pages": ["one", "two"]}
    assert await InlineExecution().run(handler, payload, context) == result  # type: ignore[arg-type]
    assert [report["progress"] for report in context.reports] == progress
