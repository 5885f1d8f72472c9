"""`GET /gateway/v1/tasks/{task_id}/links`."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.settings import Settings

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
URLS = {"trace_url": "https://jaeger.example.com/trace/{trace_id}", "temporal_ui_url": "https://temporal.example.com/"}


async def submitted(client: Any, database: Any, task_type: str = "probe", epoch: int = 1) -> str:
    """A task that was sent to Temporal, within a trace."""
    answer = await client.post("/gateway/v1/tasks", json={"type": "probe", "tenant_id": "t-ann"})
    task_id = answer.json()["task_id"]
    await database.execute(
        "UPDATE taskgate.dispatch SET backend = 'temporal', epoch = $2, task_type = $3,"
        " trace = jsonb_build_object('traceparent', $4::text) WHERE task_id = $1",
        task_id,
        epoch,
        task_type,
        f"00-{TRACE_ID}-b7ad6b7169203331-01",
    )
    return str(task_id)


async def test_where_a_task_may_be_looked_at(serve: Any, key: str, database: Any) -> None:
    async with serve(**URLS) as (client, _):
        client.headers["Authorization"] = f"Bearer {key}"
        for epoch, task_type, page in (
            (1, "probe", "activities?query=ActivityId%3D%22task-{}%22"),
            (2, "probe", "activities?query=ActivityId%3D%22task-{}-2%22"),
            (1, "taskgate.dag", "workflows?query=WorkflowId%3D%22task-{}%22"),
        ):
            task_id = await submitted(client, database, task_type, epoch)
            links = (await client.get(f"/gateway/v1/tasks/{task_id}/links")).json()
            assert links["trace"] == f"https://jaeger.example.com/trace/{TRACE_ID}"
            assert links["temporal"] == "https://temporal.example.com/namespaces/taskgate/" + page.format(task_id)
        waiting = (await client.post("/gateway/v1/tasks", json={"type": "probe", "tenant_id": "t-ann"})).json()[
            "task_id"
        ]
        links = (await client.get(f"/gateway/v1/tasks/{waiting}/links")).json()
        assert links == {"task_id": waiting, "trace": None, "temporal": None}


async def test_without_an_address_there_is_none(serve: Any, key: str, bob: dict[str, str], database: Any) -> None:
    async with serve() as (client, _):
        client.headers["Authorization"] = f"Bearer {key}"
        task_id = await submitted(client, database)
        links = (await client.get(f"/gateway/v1/tasks/{task_id}/links")).json()
        assert links == {"task_id": task_id, "trace": None, "temporal": None}
        assert (await client.get(f"/gateway/v1/tasks/{task_id}/links", headers=bob)).status_code == 404


@pytest.mark.parametrize(
    "wrong", [{"trace_url": "https://jaeger.example.com/"}, {"temporal_ui_url": "javascript:alert(1)"}]
)
def test_an_address_that_is_none_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)
