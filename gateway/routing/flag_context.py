"""The context of a flag evaluation: whose task it is, in LaunchDarkly's terms."""

from __future__ import annotations

from ldclient import Context

from gateway.routing.query import RouteQuery


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
