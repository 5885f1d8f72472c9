"""`DeadLetterService`: what died, and what may be done with it."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from taskgate.v1 import (
    DismissDeadLetterRequest,
    GetDeadLetterRequest,
    GroupDeadLettersRequest,
    LetterFilter,
    LetterKind,
    LetterReason,
    LetterState,
    ListDeadLettersRequest,
    PurgeDeadLetterRequest,
    RedriveDeadLetterRequest,
)

Code = grpc.StatusCode


async def dead(face: Any, name: str = "ann", **more: Any) -> str:
    task_id = await face.submit(name, **more)
    await face.fail(task_id, "disk full")
    return str(task_id)


async def listed(face: Any, letters: Any, name: str = "ann", **which: Any) -> list[str]:
    request = ListDeadLettersRequest(filter=LetterFilter(**which))
    answer = await letters.ListDeadLetters(request, metadata=face.world.metadata(name))
    return [letter.id for letter in answer.dead_letters]


async def test_a_dead_letter_is_shown_whole(face: Any, letters: Any) -> None:
    task_id = await dead(face, payload={"n": 1, "password": "hush"}, labels={"team": "search"})

    shown = await letters.GetDeadLetter(GetDeadLetterRequest(id=task_id), metadata=face.ann)

    letter = shown.dead_letter
    assert (letter.id, letter.task_id, letter.kind) == (task_id, task_id, LetterKind.LETTER_KIND_TASK)
    assert (letter.state, letter.type) == (LetterState.LETTER_STATE_OPEN, "probe")
    assert letter.reason in (LetterReason.LETTER_REASON_NOT_RETRYABLE, LetterReason.LETTER_REASON_ATTEMPTS_EXHAUSTED)
    assert (letter.error, dict(letter.labels)) == ("disk full", {"team": "search"})
    assert letter.died_at.seconds > 10**9
    payload = shown.payload.struct_value
    assert payload["n"] == 1
    assert payload["password"] != "hush"
    assert [attempt.worker_id for attempt in shown.history] == ["w1"]


async def test_pages_filters_and_tenants(face: Any, letters: Any, refusal: Any) -> None:
    mine = [await dead(face, labels={"n": str(n)}) for n in range(3)]
    foreign = await dead(face, "bob")

    pages, token = [], ""
    while True:
        request = ListDeadLettersRequest(page_size=2, page_token=token)
        answer = await letters.ListDeadLetters(request, metadata=face.ann)
        pages.append([letter.id for letter in answer.dead_letters])
        if not (token := answer.next_page_token):
            break
    assert pages == [[mine[2], mine[1]], [mine[0]]]
    assert await listed(face, letters, labels={"n": "1"}) == [mine[1]]
    assert await listed(face, letters, error="DISK") == mine[::-1]
    assert await listed(face, letters, state=LetterState.LETTER_STATE_DISMISSED) == []
    assert set(await listed(face, letters, "root")) == {*mine, foreign}
    for call, request in (
        (letters.GetDeadLetter, GetDeadLetterRequest(id=foreign)),
        (letters.RedriveDeadLetter, RedriveDeadLetterRequest(id=foreign)),
        (letters.DismissDeadLetter, DismissDeadLetterRequest(id=foreign)),
        (letters.PurgeDeadLetter, PurgeDeadLetterRequest(id=foreign)),
    ):
        refused = await refusal(call(request, metadata=face.ann))
        assert (refused.code, refused.reason) == (Code.NOT_FOUND, "DEAD_LETTER_NOT_FOUND")
        refused = await refusal(call(request))
        assert refused.code is Code.UNAUTHENTICATED


@pytest.mark.parametrize("request_and_field", range(6))
async def test_bad_requests_name_their_field(face: Any, letters: Any, refusal: Any, request_and_field: int) -> None:
    which = LetterFilter()
    which.died_after.seconds = 10**15
    call, request, field = [
        (letters.ListDeadLetters, ListDeadLettersRequest(page_size=-1), "page_size"),
        (letters.ListDeadLetters, ListDeadLettersRequest(page_token="?"), "page_token"),
        (letters.ListDeadLetters, ListDeadLettersRequest(filter=which), "filter.died_after"),
        (letters.ListDeadLetters, ListDeadLettersRequest(filter=LetterFilter(kind=9)), "filter.kind"),
        (letters.ListDeadLetters, ListDeadLettersRequest(filter=LetterFilter(error="\0")), "filter.error"),
        (letters.RedriveDeadLetter, RedriveDeadLetterRequest(id="x", backend="paper"), "backend"),
    ][request_and_field]

    refused = await refusal(call(request, metadata=face.ann))

    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, [field])


async def test_of_two_redrives_one_has_an_effect(face: Any, letters: Any) -> None:
    task_id = await dead(face, payload={"n": 1, "x": 2})
    request = RedriveDeadLetterRequest(id=task_id)
    request.patch.update({"n": 5, "x": None})

    outcomes = await asyncio.gather(
        *(letters.RedriveDeadLetter(request, metadata=face.ann) for _ in range(2)), return_exceptions=True
    )

    codes = [outcome.code() for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert codes == [Code.FAILED_PRECONDITION]
    shown = await letters.GetDeadLetter(GetDeadLetterRequest(id=task_id), metadata=face.ann)
    assert shown.dead_letter.state == LetterState.LETTER_STATE_REDRIVEN
    payload = dict(shown.payload.struct_value)
    assert payload["n"] == 5
    assert "x" not in payload
    assert shown.edits[0].payload.struct_value["x"] == 2
    assert shown.edits[0].edited_by == "ann"


async def test_dismissed_and_purged(face: Any, letters: Any) -> None:
    one, other = await dead(face), await dead(face)

    await letters.DismissDeadLetter(DismissDeadLetterRequest(id=one, why="known"), metadata=face.ann)
    await letters.PurgeDeadLetter(PurgeDeadLetterRequest(id=other), metadata=face.ann)

    assert await listed(face, letters) == []
    assert await listed(face, letters, state=LetterState.LETTER_STATE_DISMISSED) == [one]
    assert await face.gateway.database.fetchval("SELECT count(*) FROM task_logs") == 2


async def test_groups_by_what_went_wrong(face: Any, letters: Any) -> None:
    await dead(face)
    newest = await dead(face)
    await dead(face, "bob")

    answer = await letters.GroupDeadLetters(GroupDeadLettersRequest(), metadata=face.ann)

    (group,) = answer.groups
    assert (group.letters, group.tenants, group.newest_id, group.error) == (2, 1, newest, "disk full")
    assert (group.kind, list(group.types), answer.counted) == (LetterKind.LETTER_KIND_TASK, ["probe"], 2)
    assert group.oldest_at.ToNanoseconds() < group.newest_at.ToNanoseconds()
    none = LetterFilter(error="nothing like it")
    assert not (await letters.GroupDeadLetters(GroupDeadLettersRequest(filter=none), metadata=face.ann)).groups
