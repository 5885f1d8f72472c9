"""What Temporal says of its task queues."""

from __future__ import annotations

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

from contracts.world import PATIENCE, World
from workers.testing.waiting import eventually


async def until_polled(world: World, queue: str) -> None:
    """Return once a worker polls this queue for activities."""
    session = await world.gateway.engines["temporal"]._connection.session()  # type: ignore[attr-defined]
    request = DescribeTaskQueueRequest(
        namespace=session.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    describe = session.client.workflow_service.describe_task_queue
    await eventually(lambda: describe(request), lambda queue: queue.pollers, within=PATIENCE)
