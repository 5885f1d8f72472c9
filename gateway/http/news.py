"""`GET /gateway/v1/news/stream`: which kinds of things have changed, as Server-Sent Events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from gateway.access.placement import Caller
from gateway.errors import Forbidden, ShuttingDown
from gateway.http.events import EventStream, event, keepalive
from gateway.http.openapi_errors import event_stream, problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.http.task_list_stream import MissedTasks
from gateway.news.piece import Piece, Topic, verb_of
from gateway.storage.gathering import GatheringSubscription
from gateway.tasks.queries.task_selection import Many, Text

router = APIRouter(tags=["news"], route_class=KeyedRoute)


class WantedNews(BaseModel):
    """Which changes to report."""

    model_config = ConfigDict(extra="forbid")

    topic: Annotated[list[Topic], Many] = Field(
        description="A topic. Repeat the parameter for several topics. Default: all topics that the caller may see."
    )
    tenant_id: Text | None = Field(None, description="Report only changes that may concern this tenant.")


class ChangedThing(BaseModel):
    """A resource of this kind has changed."""

    topic: Topic
    tenant_id: str | None = Field(description="Tenant that it belongs to. Null: no tenant, or any.")


class ChangedThings(BaseModel):
    """Kinds of resources that have changed. Read the resources themselves for their new state."""

    changed: list[ChangedThing]


@router.get(
    "/gateway/v1/news/stream",
    status_code=200,
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "`news`: at once, with no changes in it, and each time that something changes. `missed`: "
            "some changes were not sent; read everything again",
            "content": event_stream(news=ChangedThings, missed=MissedTasks),
        },
        **problem_errors(403),
    },
)
async def stream_news(request: Request, query: Annotated[WantedNews, Query()]) -> Response:
    """Follow which kinds of resources change, and whose, as Server-Sent Events. Changes of tasks are not reported.

    The stream reports changes from its first event on. To miss none, read the resources after the first event, and
    again after each reconnect and each `missed` event.
    """
    gateway = gateway_of(request)
    caller, permitted, _ = await gateway.access.identify(request.headers.get("authorization"))
    for topic in query.topic:
        if verb_of(topic) not in permitted:
            raise Forbidden(f"You may not hear of {topic}")
    topics = frozenset(query.topic or (topic for topic in Topic if verb_of(topic) in permitted))
    subscription = gateway.news_watch.subscribe().open()
    if subscription.is_closed:
        raise ShuttingDown(retry_after=1)
    events = _events(subscription, caller, topics, query.tenant_id, gateway.settings.stream_keepalive_seconds)
    return EventStream(gateway, events, subscription, caller)


async def _events(
    subscription: GatheringSubscription[Piece],
    caller: Caller,
    topics: frozenset[Topic],
    tenant_id: str | None,
    keepalive_seconds: float,
) -> AsyncIterator[ServerSentEvent]:
    def is_wanted(piece: Piece) -> bool:
        is_about = tenant_id is None or piece.is_about(tenant_id)
        return piece.topic in topics and is_about and piece.is_for(caller)

    yield _news(())
    while not subscription.is_closed:
        heard = await subscription.changes(keepalive_seconds)
        if subscription.is_closed:
            return
        pieces = () if heard is None else tuple(piece for piece in heard.items if is_wanted(piece))
        if heard is not None and heard.missed:
            yield event("missed", {})
        if pieces:
            yield _news(pieces)
        elif heard is None:
            yield keepalive()


def _news(pieces: tuple[Piece, ...]) -> ServerSentEvent:
    # The same of two users is one thing for who reads.
    told = dict.fromkeys((piece.topic, piece.tenant_id) for piece in pieces)
    return event("news", {"changed": [{"topic": topic, "tenant_id": tenant_id} for topic, tenant_id in told]})
