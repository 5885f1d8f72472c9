"""Handlers that do what a test tells them: a plug-in (`TASKGATE_HANDLERS`) for workers in the tests' own process.

They replace the built-in handlers of the same types. What a run does stands in its payload (`content` of an episode,
`do` of a `contract_probe`), as one word and an argument; types whose requests carry no text are told by their group
(`Board.script`). A run that is told nothing ends at once.

    hold <name>       reports 10 %, then waits for `Board.hold(name).release()`
    stubborn <name>   the same, but ignores its cancellation
    fail <message>    raises, in every run
    fatal <message>   raises what is not worth another run
    flaky <name>      raises in its first run, and ends in the next
    later <seconds>   raises in its first run, with a wish when to be run again, and ends in the next
    report            progress, messages and a result, in steps
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from workers.handlers.base import TaskContext, TaskHandler, TaskRegistry

RESULT = {"nodes": 3, "name": "Zoë \N{SNOWMAN}", "nested": {"list": [1, 2.5, None, True]}}


@dataclass
class Hold:
    """One held run, as the test sees it; a retry passes when the hold was released before."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        self._released.set()

    async def until_cancelled(self) -> None:
        """Wait for the cancellation; raises `TimeoutError` when none comes."""
        async with asyncio.timeout(30):
            await self.cancelled.wait()

    async def keep(self, *, stubborn: bool) -> None:
        """The run's side: wait."""
        self.started.set()
        while True:
            try:
                await self._released.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                if stubborn:
                    continue
                raise
            return


class Fatal(Exception):
    """Another run would find the same."""

    non_retryable = True


class Later(Exception):
    """Says itself when the next run is worth it."""

    def __init__(self, seconds: float) -> None:
        super().__init__("later")
        self.retry_after = seconds


class Board:
    """Told by tests, read by handlers; and the other way round."""

    def __init__(self) -> None:
        self._holds: defaultdict[str, Hold] = defaultdict(Hold)
        self._scripts: dict[str, str] = {}
        self._flaky: set[str] = set()
        self.runs: Counter[str] = Counter()
        """How often the handler of a task began, by task id."""
        self.payloads: dict[str, dict[str, Any]] = {}
        """What the latest run of a task was given."""

    def hold(self, name: str) -> Hold:
        return self._holds[name]

    def script(self, group_id: str, words: str) -> None:
        """What runs of this group do whose payload says nothing."""
        self._scripts[group_id] = words

    def release_all(self) -> None:
        for hold in self._holds.values():
            hold.release()

    async def play(self, payload: dict[str, Any], context: TaskContext) -> None:
        task_id = payload["task_id"]
        self.runs[task_id] += 1
        self.payloads[task_id] = payload
        word, _, argument = self._words(payload).partition(" ")
        match word:
            case "hold" | "stubborn":
                await context._update_task_log(task_id, "PROCESSING", progress=10, message="held")
                await self.hold(argument).keep(stubborn=word == "stubborn")
            case "fail":
                raise RuntimeError(argument)
            case "fatal":
                raise Fatal(argument)
            case "flaky" if argument not in self._flaky:
                self._flaky.add(argument)
                raise RuntimeError(f"{argument}: the first run fails")
            case "later" if self.runs[task_id] == 1:
                raise Later(float(argument))
            case "report":
                await context._update_task_log(task_id, "PROCESSING", progress=10, message="begun")
                await context._update_task_log(task_id, "PROCESSING", progress=50, message="half way")
                await context._update_task_log(task_id, "PROCESSING", progress=100, message="done", result=RESULT)

    def _words(self, payload: dict[str, Any]) -> str:
        text = payload.get("do") or payload.get("content")
        group = payload.get("group_id") or payload.get("task_group_id")
        return str(text or self._scripts.get(str(group), ""))


BOARD = Board()


class Probe(TaskHandler):
    """The handler of one type."""

    def __init__(self, task_type: str) -> None:
        self._task_type = task_type

    @property
    def task_type(self) -> str:
        return self._task_type

    async def process(self, payload: dict[str, Any], context: TaskContext) -> None:
        await BOARD.play(payload, context)


TYPES = ("contract_probe", "add_episode", "rebuild_communities", "incremental_refresh", "deduplicate_entities")


def register(registry: TaskRegistry) -> None:
    """What a plug-in module offers to the worker."""
    for task_type in TYPES:
        registry.register(Probe(task_type))
