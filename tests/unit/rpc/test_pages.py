"""Page tokens."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskgate.v1 import ListRequest, Task

from gateway.rpc.failures import InvalidFields
from gateway.rpc.pages import page_of, position_of, token_after
from gateway.tasks.queries.task_row import TaskRow


def row(task_id: str, created_at: datetime | None) -> TaskRow:
    return TaskRow(task_id, "probe", "PENDING", created_at, None, None, None, None, 0, 0, None, None, None, None)


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60),
    st.one_of(st.none(), st.datetimes(timezones=st.just(UTC))),
)
def test_a_token_leads_where_it_was_made(task_id: str, created_at: datetime | None) -> None:
    request = ListRequest(task_type="a")
    request.page_token = token_after(row(task_id, created_at), request)
    position = position_of(request)
    assert position is not None
    assert (position.task_id, position.created_at) == (task_id, created_at)


def test_a_token_is_for_any_page_size_but_not_for_other_filters() -> None:
    token = token_after(row("x", None), ListRequest(page_size=3, search="a"))
    assert position_of(ListRequest(page_size=50, search="a", page_token=token)) is not None
    for other in (ListRequest(page_token=token), ListRequest(search="b", page_token=token)):
        with pytest.raises(InvalidFields, match="other filters"):
            position_of(other)


@pytest.mark.parametrize(
    ("at", "task_id"),
    [
        ("0001-01-01T00:00:00+23:59", "x"),
        ("9999-12-31T23:59:59-23:59", "x"),
        ("2026-01-01T00:00:00", "x"),
        ("2026-01-01T00:00:00+00:00", "a\0"),
    ],
)
def test_a_place_that_postgresql_cannot_have_is_refused(at: str, task_id: str) -> None:
    digest, _, _ = orjson.loads(urlsafe_b64decode(token_after(row("xx", None), ListRequest()) + "==="))
    token = urlsafe_b64encode(orjson.dumps([digest, at, task_id])).decode().rstrip("=")
    with pytest.raises(InvalidFields, match="not a token of this API"):
        position_of(ListRequest(page_token=token))


@given(st.text(max_size=80))
def test_anything_else_is_refused(token: str) -> None:
    request = ListRequest()
    try:
        request.page_token = token
    except ValueError:
        return  # lone surrogates do not travel
    if token:
        with pytest.raises(InvalidFields):
            position_of(request)


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize(
    ("sizes", "fit"), [([], 0), ([9], 1), ([1, 1], 2), ([1, 1, 1, 1], 2), ([9, 1], 1), ([1, 9, 1], 1)]
)
def test_a_page_ends_where_an_answer_has_no_more_room(sizes: list[int], fit: int, more: bool) -> None:
    """Sizes in MB. What is left out begins the next page."""
    rows = list(enumerate(sizes))
    messages, token = page_of(
        rows,
        lambda row: Task(task_id=str(row[0]), error="x" * (row[1] * 2**20)),
        lambda row: f"after {row[0]}",
        more=more,
    )
    assert [message.task_id for message in messages] == [str(number) for number in range(fit)]
    assert token == (f"after {fit - 1}" if fit and (more or fit < len(sizes)) else "")
