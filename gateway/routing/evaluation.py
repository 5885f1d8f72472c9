"""What the flag says for one task, and what it is asked with."""

from __future__ import annotations

from dataclasses import dataclass

from ldclient import Context
from ldclient.migrations import OpTracker

from gateway.routing.flag_document import Json
from gateway.routing.query import RouteQuery
from gateway.routing.stages import Stage


@dataclass(frozen=True, slots=True)
class FlagEvaluation:
    """What the flag says for one task.

    `known` is False when there was nothing to evaluate (no flag service, no file, no such flag): the stage is then
    `off`. `reason` is the SDK's evaluation reason.
    """

    stage: Stage
    known: bool
    tracker: OpTracker | None = None
    reason: Json | None = None


def context_of(query: RouteQuery) -> Context:
    """The multi-context of an evaluation: `tenant` (key, tier, plan), `project`, `task` (key, type).

    The task is marked anonymous, so that LaunchDarkly keeps no entry for each task id.
    """
    task = Context.builder(query.task_id or "-").kind("task").set("type", query.task_type).anonymous(True).build()
    contexts = [task]
    if query.tenant_id:
        tenant = Context.builder(query.tenant_id).kind("tenant").set("tier", query.tier.value)
        if query.plan is not None:
            tenant.set("plan", query.plan)
        contexts.append(tenant.build())
    if query.project_id:
        contexts.append(Context.create(query.project_id, "project"))
    return Context.create_multi(*contexts)
