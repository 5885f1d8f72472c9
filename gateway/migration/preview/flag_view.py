"""Stages under a flag that is not in force, by the SDK's own evaluation, below the overrides there are."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.migration.preview.task_keys import TaskKeys
from gateway.routing.flag_document import Json
from gateway.routing.flag_parts import snapshot_of
from gateway.routing.flags import FlagSource
from gateway.routing.overrides import Override, deciding
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.stages import Stage


@dataclass(frozen=True, slots=True)
class Answer:
    """`by_task`: another task of the same context might get another one."""

    stage: Stage
    by_override: bool
    by_task: bool


class FlagView:
    """`put` says which flag is asked; in memory."""

    def __init__(self, source: FlagSource, overrides: Mapping[Scope, Override]) -> None:
        self._source = source
        self._overrides = overrides

    def put(self, document: Json) -> None:
        self._source.put_in_force(snapshot_of(document))
        self._keys = TaskKeys(document, self._source.flag_key)

    def ask(self, query: RouteQuery) -> Answer:
        """As the router: an override, else the flag."""
        if self._overrides:
            override = deciding(self._overrides, query, time.monotonic())
            if override is not None:
                return Answer(override.stage, True, False)
        found = self._source.evaluate(query)
        return Answer(found.stage, False, self._keys.decide(found.reason))


@asynccontextmanager
async def flag_view(document: Json, flag_key: str, overrides: Mapping[Scope, Override]) -> AsyncIterator[FlagView]:
    """A view of this flag, until another one is put."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "flag.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        source = FlagSource(flag_key=flag_key, file=path, held=True)
        await source.start()
        try:
            view = FlagView(source, overrides)
            view.put({"segments": {}, **document})
            yield view
        finally:
            await source.close()
