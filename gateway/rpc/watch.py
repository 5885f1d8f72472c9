"""`Watch`: the changes of one task, from the same feed as Server-Sent Events."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode

from taskgate.v1 import WatchRequest, WatchResponse

from gateway.access.access import Access
from gateway.access.placement import Caller
from gateway.errors import TaskNotFound
from gateway.rpc.calls import Send
from gateway.rpc.failures import invalid
from gateway.rpc.stream_end import say_why
from gateway.rpc.tasks import task_of
from gateway.tasks.changes.feed import ChangeFeed
from gateway.tasks.changes.subscription import Subscription, SubscriptionEnded
from gateway.tasks.queries.task_row import TaskRow

_LONGEST_TOKEN = 100


class Watcher:
    """Serves any number of watches."""

    def __init__(self, access: Access, feed: ChangeFeed) -> None:
        self._access = access
        self._feed = feed
        self._made: tuple[TaskRow | None, str, bytes] = (None, "", b"")

    async def watch(self, authorization: str | None, request: WatchRequest, send: Send) -> None:
        """Send the task as it stands, unless the client has seen just that, then after each change, to its end.

        Raises `Unauthenticated`, also when the key loses its validity, `TaskNotFound`, `DatabaseUnavailable`, and
        `ShuttingDown` when the gateway ends first.
        """
        seen = request.resume_token
        if len(seen) > _LONGEST_TOKEN:
            raise invalid("resume_token", "not a token of this API")
        caller = await self._access.authenticate(authorization)
        async with self._feed.subscribe(request.task_id) as changes:
            with self._access.watch_key(caller, changes.close):
                await self._follow(changes, caller, authorization, seen, send)

    async def _follow(
        self, changes: Subscription, caller: Caller, authorization: str | None, seen: str, send: Send
    ) -> None:
        while True:
            try:
                row = await changes.get()
            except SubscriptionEnded:
                await say_why(self._access, caller, authorization)
            if not caller.sees(row.tenant_id, row.project_id):
                raise TaskNotFound
            token, answer = self._answer(row)
            if token != seen:
                seen = token
                await send(answer)
            if row.is_finished:
                return

    def _answer(self, row: TaskRow) -> tuple[str, bytes]:
        """The resume token and the serialised answer for a row.

        The feed gives the same row to all who watch the task, one after the other, so that the last one made is most
        often the one that is wanted. A token is a digest of what was shown: it needs no memory, on no gateway.
        """
        made, token, answer = self._made
        if made is not row:
            task = task_of(row)
            shown = hashlib.blake2b(task.SerializeToString(deterministic=True), digest_size=15).digest()
            token = urlsafe_b64encode(shown).decode()
            answer = WatchResponse(task=task, resume_token=token).SerializeToString()
            self._made = (row, token, answer)
        return token, answer
