"""Bodies that are too large or too deep are answered 4xx with a JSON body; the largest and the deepest are accepted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from annotated_types import Le

from gateway.settings import Settings

EPISODES = "/api/v1/episodes/"
JSON = {"Content-Type": "application/json"}
LIMIT = 4096

# Size -----------------------------------------------------------------------------------------------------------


class Chunks(httpx.AsyncByteStream):
    """A body that never ends; counts what was taken of it."""

    def __init__(self) -> None:
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.taken += 1
            yield b"x" * 1024


async def test_a_body_that_announces_its_size(serve: Any, key: str) -> None:
    async with serve(max_body_bytes=LIMIT) as (client, _):
        client.headers["Authorization"] = key
        good = b'{"content": "' + b"x" * (LIMIT - 15) + b'"}'
        assert len(good) == LIMIT
        assert (await client.post(EPISODES, content=good, headers=JSON)).status_code == 202
        answer = await client.post(EPISODES, content=good + b" ", headers=JSON)
        assert answer.status_code == 413
        assert answer.json() == {"detail": "The request body is too large."}


async def test_a_body_that_does_not_is_cut_off(serve: Any, key: str) -> None:
    async with serve(max_body_bytes=LIMIT) as (client, _):
        client.headers["Authorization"] = key
        for url, media_type in [(EPISODES, "application/json"), ("/gateway/v1/tasks", "application/problem+json")]:
            body = Chunks()
            answer = await client.post(url, content=body, headers=JSON)
            assert answer.status_code == 413
            assert answer.headers["Content-Type"] == media_type
            assert body.taken <= LIMIT // 1024 + 2


# Depth ----------------------------------------------------------------------------------------------------------

#: The deepest JSON that a setting allows.
DEEPEST: Any = next(limit.le for limit in Settings.model_fields["max_json_depth"].metadata if isinstance(limit, Le))


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("path", "levels", "status", "body"),
    [
        (EPISODES, 1, 202, lambda value: {"content": "x", "metadata": value}),
        ("/gateway/v1/tasks", 1, 202, lambda value: {"type": "probe", "payload": value}),
        ("/gateway/v1/tasks/batch", 3, 202, lambda value: {"tasks": [{"type": "probe", "payload": value}]}),
        (
            "/gateway/v1/schedules",
            2,
            201,
            lambda value: {
                "name": "deep",
                "specs": [{"every_seconds": 86400}],
                "action": {"type": "probe", "payload": value},
            },
        ),
    ],
)
async def test_what_is_as_deep_as_a_setting_allows_is_accepted(
    serve: Any, key: str, path: str, levels: int, status: int, body: Callable[[Any], Any]
) -> None:
    async with serve(max_json_depth=DEEPEST) as (client, _):
        client.headers["Authorization"] = f"Bearer {key}"
        answer = await client.post(path, json=body(nested(DEEPEST - levels)))
        assert answer.status_code == status, answer.text
        if "task_id" in answer.json():
            shown = await client.get(f"/gateway/v1/tasks/{answer.json()['task_id']}/payload")
            assert shown.status_code == 200
            assert isinstance(shown.json()["payload"], dict)
        assert (await client.post(path, json=body(nested(DEEPEST - levels + 1)))).status_code == 422
