"""The worker for runs of DAGs."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from backends.temporal import names
from workers.temporal.dag.activities import DagActivities
from workers.temporal.dag.workflow import DagWorkflow

#: Runs that one process keeps in memory. Others, and those of a process that is gone, are replayed when they go on.
CACHED_RUNS = 200
#: A run whose process does not take its next step within this time goes to another one.
STICKY_SECONDS = 1.0
_BUILD_ID = "taskgate"


def dag_worker(client: Client, dags: DagActivities) -> Worker:
    """Polls the one queue of all runs; their steps are short transactions."""
    return Worker(
        client,
        task_queue=names.DAG_QUEUE,
        workflows=[DagWorkflow],
        activities=dags.all,
        build_id=_BUILD_ID,
        max_cached_workflows=CACHED_RUNS,
        max_concurrent_workflow_tasks=10,
        max_concurrent_local_activities=10,
        max_concurrent_activities=1,
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=STICKY_SECONDS),
        no_remote_activities=True,
    )
