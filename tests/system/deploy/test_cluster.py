"""Three Temporal nodes behind one address, as `make cluster` starts them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, PollActivityTaskQueueRequest
from temporalio.client import Client

from deploy.local.part import PORT_SECONDS
from deploy.local.ports import until_free
from deploy.local.stack import EmbeddedStack
from workers.testing.waiting import eventually

#: Polls that wait at once on one connection: a worker of many queues has more.
POLLS = 250


async def test_one_address_answers_while_a_node_is_away(tmp_path: Path) -> None:
    stack = EmbeddedStack(tmp_path, ("postgres", "temporal"), ports="free", durable=False, temporal_nodes=3)
    try:
        await stack.start()
        assert len({node.url for node in stack.temporal_nodes} | {stack.temporal_address}) == 4
        assert stack.environment()["TASKGATE_TEMPORAL_ADDRESS"] == stack.temporal_address
        # A second `up` finds everything where it is.
        again = EmbeddedStack(tmp_path, ("postgres", "temporal"), ports="free", durable=False, temporal_nodes=3)
        await again.start()
        assert again.temporal_address == stack.temporal_address
        for node in stack.temporal_nodes[::2]:
            client = await Client.connect(stack.temporal_address, namespace=stack.temporal_namespace)
            await node.process.kill()
            # Its kernel takes connections until its last thread is gone: what was sent to it fails, which nobody on the
            # way repeats (haproxy.cfg), and clients of Temporal do.
            assert await client.service_client.check_health(retry=True)
            await until_free(node.port, PORT_SECONDS)
            newcomer = await Client.connect(stack.temporal_address, namespace=stack.temporal_namespace)
            assert await newcomer.service_client.check_health()
            await node.start()
    finally:
        await stack.destroy()


async def test_many_polls_leave_room_for_what_ends_tasks(tmp_path: Path) -> None:
    """A worker polls all its queues, and says how its tasks ended, on one connection."""
    stack = EmbeddedStack(tmp_path, ("postgres", "temporal"), ports="free", durable=False, temporal_nodes=2)
    try:
        await stack.start()
        client = await Client.connect(stack.temporal_address, namespace=stack.temporal_namespace)
        service, queue = client.workflow_service, TaskQueue(name="polled")

        async def poll(number: int) -> None:
            request = PollActivityTaskQueueRequest(namespace=client.namespace, task_queue=queue, identity=str(number))
            while True:  # a queue that moves to another node, as nodes find each other, answers its polls with nothing
                await service.poll_activity_task_queue(request, retry=True, timeout=timedelta(minutes=1))

        async def polling() -> int:
            request = DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=queue,
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            )
            # As the SDK makes calls: a connection may break while the nodes find each other.
            described = await service.describe_task_queue(request, retry=True, timeout=timedelta(seconds=20))
            return len(described.pollers)

        polls = [asyncio.create_task(poll(number)) for number in range(POLLS)]
        try:
            assert await eventually(polling, lambda found: found == POLLS, within=50) == POLLS
        finally:
            for task in polls:
                task.cancel()
            await asyncio.gather(*polls, return_exceptions=True)
    finally:
        await stack.destroy()
