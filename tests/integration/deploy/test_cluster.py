"""Three Temporal nodes behind one address, as `make cluster` starts them."""

from __future__ import annotations

from pathlib import Path

from temporalio.client import Client

from deploy.local.part import PORT_SECONDS
from deploy.local.ports import until_free
from deploy.local.stack import EmbeddedStack


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
