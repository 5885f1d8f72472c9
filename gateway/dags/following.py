"""Follows a run to its end; the source of every stream of a run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from gateway.access.placement import Caller
from gateway.dags.run_document import RunDocuments, RunSummary, summary
from gateway.dags.runs import DagRuns
from gateway.dags.watch import RunSubscription
from gateway.errors import ApiError

_OVER = ("completed", "failed", "cancelled")
#: Without news the run itself is looked at this often (seconds): a notification may be lost.
_LOOK_SECONDS = 2.0


async def follow(
    subscription: RunSubscription, runs: DagRuns, documents: RunDocuments, caller: Caller, state: dict[str, Any]
) -> AsyncIterator[tuple[str, dict[str, Any]] | None]:
    """After `state`, the document of an open subscription's run: `nodes` and `run` as they change, and `end`.

    None when there was no news for a while. It ends with the run, or when the subscription is closed.
    """
    run_id = subscription.run_id
    row = await runs.row(run_id, caller)
    dag = await documents.version_of(row)
    shown = {name: state[name] for name in RunSummary.model_fields}
    while True:
        now = summary(row)
        if now != shown:
            shown = now
            yield "run", now
        if now["status"] in _OVER:
            yield "end", now
            return
        paths = await subscription.changes(_LOOK_SECONDS)
        if subscription.is_closed:
            return
        if paths is None:
            yield None
        try:
            row = await runs.row(run_id, caller)
            # The end comes with all nodes, because skipped nodes cause no notification.
            is_over = row["state"] in ("completed", "failed", "stopped")
            nodes = None
            if paths or paths == [] or is_over:
                nodes = await documents.nodes(run_id, dag, paths=None if is_over or not paths else paths)
        except ApiError:
            continue  # PostgreSQL is away; the stream goes on when it is back
        if nodes is not None:
            yield "nodes", {"nodes": nodes}
