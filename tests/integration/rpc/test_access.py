"""Keys: without a valid one, nothing but UNAUTHENTICATED."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from taskgate.v1 import (
    BatchSettings,
    GetRequest,
    ListRequest,
    NewTask,
    StatsRequest,
    SubmitBatchRequest,
    SubmitRequest,
    WatchRequest,
)

Code = grpc.StatusCode

METHODS = ("Submit", "Get", "List", "Retry", "Stop", "Stats")
MISSING = "Missing API key. Please provide an API key in the Authorization header."


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ((), MISSING),
        ([("authorization", "")], MISSING),
        ([("authorization", "Bearer nonsense")], "Invalid API key format. API keys should start with 'ms_sk_'"),
        ([("authorization", "Bearer ms_sk_" + "0" * 64)], "Invalid API key"),
        ([("authorization", "ms_sk_~")], "Invalid API key"),
    ],
)
async def test_no_valid_key(face: Any, refusal: Any, metadata: Any, message: str) -> None:
    refused = await refusal(face.tasks.Stats(StatsRequest(), metadata=metadata))
    assert (refused.code, refused.reason, refused.message) == (Code.UNAUTHENTICATED, "UNAUTHENTICATED", message)


@pytest.mark.parametrize("change", ["is_active = false", "expires_at = now() - interval '1 s'"])
async def test_a_key_that_is_over(face: Any, refusal: Any, change: str) -> None:
    await face.gateway.database.execute(f"UPDATE api_keys SET {change} WHERE id = 'ann'")
    refused = await refusal(face.tasks.Stats(StatsRequest(), metadata=face.ann))
    assert refused.code is Code.UNAUTHENTICATED


@pytest.mark.parametrize("form", ["Bearer {}", "Token {}", "{}", "bearer   {}"])
async def test_forms_of_the_header(face: Any, form: str) -> None:
    metadata = [("authorization", form.format(face.world.keys["ann"]))]
    assert (await face.tasks.Stats(StatsRequest(), metadata=metadata)).total == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("raw", [b"", b"\xff\xff", b"\x0a\x05x"])
async def test_every_call_looks_at_the_key_first(face: Any, refusal: Any, method: str, raw: bytes) -> None:
    call = face.channel.unary_unary(f"/taskgate.v1.TaskService/{method}")
    for metadata in ([], [("authorization", "Bearer ms_sk_" + "0" * 64)]):
        refused = await refusal(call(raw, metadata=metadata))
        assert refused.code is Code.UNAUTHENTICATED


async def test_streams_need_a_key_too(face: Any, refusal: Any) -> None:
    task_id = await face.submit()
    refused = await refusal(anext(aiter(face.tasks.Watch(WatchRequest(task_id=task_id)))))
    assert refused.code is Code.UNAUTHENTICATED
    batch = iter([SubmitBatchRequest(task=NewTask(task_type="probe"))])
    refused = await refusal(face.tasks.SubmitBatch(batch))
    assert refused.code is Code.UNAUTHENTICATED
    malformed = iter([SubmitBatchRequest(settings=BatchSettings(idempotency_key=""))])
    stranger = [("authorization", "Bearer ms_sk_" + "0" * 64)]
    refused = await refusal(face.tasks.SubmitBatch(malformed, metadata=stranger))
    assert refused.code is Code.UNAUTHENTICATED


async def test_an_invalid_request_is_explained_to_those_with_a_key(face: Any, refusal: Any) -> None:
    stranger = [("authorization", "Bearer ms_sk_" + "0" * 64)]
    request = ListRequest(page_size=-1)
    assert (await refusal(face.tasks.List(request, metadata=stranger))).code is Code.UNAUTHENTICATED
    assert (await refusal(face.tasks.List(request, metadata=face.ann))).code is Code.INVALID_ARGUMENT


async def test_the_database_being_away_is_worth_a_repetition(face: Any, refusal: Any, faces: Any) -> None:
    lost = await faces()
    await lost.gateway.database.close()
    lost.gateway.database.url = "postgresql://nobody@127.0.0.1:1/nothing"
    for call in (
        lost.tasks.Get(GetRequest(task_id="x"), metadata=lost.ann),
        lost.tasks.Submit(SubmitRequest(task=NewTask(task_type="probe")), metadata=lost.ann),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert refused.retry_seconds is not None
        assert refused.retry_seconds >= 1
