"""The workflow of one activity, for servers without standalone activities.

Deterministic, and run in Temporal's sandbox: this module imports nothing else that does anything. A change to what
the workflow does goes behind `workflow.patched("<name>")`, because older runs replay it; the histories in
`tests/unit/temporal/histories` are replayed by the tests and are never rewritten.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from backends.temporal import names
    from backends.temporal.messages import RunTask


@workflow.defn(name=names.RUN_TASK)
class RunTaskWorkflow:
    """Runs one task and returns its result.

    A cancel waits for the activity's answer, so that the workflow is not reported as cancelled while the handler
    still works. Signals are accepted and kept by Temporal; this workflow has no use for them.
    """

    @workflow.run
    async def run(self, message: RunTask) -> Any:
        options = message.options
        if options is None:
            raise ApplicationError("the start carries no activity options", type="BadStart", non_retryable=True)
        return await workflow.execute_activity(
            names.RUN_TASK,
            message,
            activity_id=names.ACTIVITY_ID,
            task_queue=options.queue,
            start_to_close_timeout=timedelta(seconds=options.start_to_close),
            heartbeat_timeout=timedelta(seconds=options.heartbeat),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=options.retry_initial),
                backoff_coefficient=options.retry_coefficient,
                maximum_interval=timedelta(seconds=options.retry_maximum),
                maximum_attempts=0,
            ),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
