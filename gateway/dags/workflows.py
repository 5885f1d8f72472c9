"""Which tasks are carried out by the workflow of DAGs: runs, and episodes of tenants that chose the DAG for them."""

from __future__ import annotations

from collections.abc import Collection

from gateway.dags.paths import RUN_TYPE

#: Task types that a built-in DAG can carry out in place of their handler.
DAG_OF_TYPE = {"add_episode": "episode"}


class Workflows:
    """`tenants`: those whose episodes run as a DAG; `*` stands for all."""

    def __init__(self, tenants: Collection[str]) -> None:
        self._tenants = frozenset(tenants)

    def name(self, tenant_id: str | None, task_type: str) -> str | None:
        """The workflow that carries out a tenant's tasks of a type, None: a handler does."""
        if task_type == RUN_TYPE:
            return RUN_TYPE
        chosen = "*" in self._tenants or (tenant_id is not None and tenant_id in self._tenants)
        return RUN_TYPE if chosen and task_type in DAG_OF_TYPE else None
