"""Redrive by filter, as a bulk operation: with progress, dry run and abort, and spread over time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.access.placement import Caller
from gateway.dead_letters.archive import DeadLetters
from gateway.dead_letters.filter import LetterFilter
from gateway.dead_letters.redrive import Redriven, RedriveOptions, Redriver
from gateway.operations.operations import SAMPLE, Operations
from gateway.storage.paging import Place

#: How many of the first dead letters are checked, to refuse an operation that could do nothing.
_TRIED = 100


class RedriveOperations:
    """Begins such operations, and carries out their steps. Every method raises `DatabaseUnavailable`."""

    def __init__(self, operations: Operations, letters: DeadLetters, redriver: Redriver) -> None:
        self._operations = operations
        self._letters = letters
        self._redriver = redriver

    async def begin(
        self, caller: Caller, which: LetterFilter, options: RedriveOptions, *, dry_run: bool
    ) -> dict[str, Any]:
        """Begin an operation on the present dead letters of the caller; a dry run only counts them.

        Raises `BackendNotAllowed` if the backend is not allowed for any of the first ones.
        """
        caller.check_all(which.tenant_id, which.project_id)
        now = datetime.now(UTC)
        until = _until(which, now)
        first = await self._redriver.redrive_many(caller, until, options, limit=_TRIED, dry_run=True)
        return await self._operations.record(
            caller,
            "redrive",
            which.model_dump(mode="json", exclude_defaults=True),
            total=await self._letters.count(caller, until) if first.matched else 0,
            sample=first.ids[:SAMPLE],
            now=now,
            dry_run=dry_run,
            why=options.why,
            letters={"backend": options.backend, "spread_seconds": options.spread_seconds},
        )

    async def step(self, operation: Any, after: Place | None, *, limit: int) -> Redriven:
        """Redrive the next ones; `operation` is a row of `operations.sql:take`."""
        tenants, how = operation["tenant_ids"], orjson.loads(operation["letters"])
        caller = Caller(operation["user_id"], "", tenants is None, frozenset(tenants or ()))
        which = LetterFilter.model_validate_json(operation["selection"])
        spread, total, begun = how["spread_seconds"], max(operation["total"], 1), operation["created_at"]
        seen = operation["done"] + operation["skipped"] + operation["failed"]

        def pause_of(index: int) -> float:
            late = (datetime.now(UTC) - begun).total_seconds()
            return max(0.0, spread * (seen + index) / total - late) if spread else 0.0

        options = RedriveOptions(operation["user_id"], how["backend"], why=operation["why"])
        return await self._redriver.redrive_many(
            caller, _until(which, begun), options, limit=limit, after=after, pause_of=pause_of
        )


def _until(which: LetterFilter, now: datetime) -> LetterFilter:
    """The same filter, without those that died later."""
    before = which.died_before
    return which.model_copy(update={"died_before": now if before is None else min(before, now)})
