"""The flip ledger in `taskgate.v1.MigrationService`, on the use cases that HTTP uses, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from taskgate.v1 import (
    ExplainTaskRequest,
    ExplainTaskResponse,
    Flip,
    ListFlipsRequest,
    ListFlipsResponse,
    VerifyLedgerRequest,
    VerifyLedgerResponse,
)

from gateway.migration.ledger.flip_log import LARGEST_PAGE, LIST
from gateway.migration.ledger.verification import document, verify
from gateway.rpc.calls import KeyedCalls, Method
from gateway.rpc.messages import facts_of, fill
from gateway.rpc.pages import own_token, page_of, size_of
from gateway.storage.paging import cursor_in

if TYPE_CHECKING:
    from gateway.gateway import Gateway


class LedgerCalls:
    """The calls about the ledger. Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway) -> None:
        self._access = gateway.access
        self._database = gateway.database
        self._flip_log = gateway.flip_log
        self._explanations = gateway.explanations

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "ListFlips": calls.unary(ListFlipsRequest, self.list_flips),
            "VerifyLedger": calls.unary(VerifyLedgerRequest, self.verify_ledger),
            "ExplainTask": calls.unary(ExplainTaskRequest, self.explain_task),
        }

    async def list_flips(self, authorization: str | None, request: ListFlipsRequest) -> ListFlipsResponse:
        """A page, newest first."""
        facts = facts_of(request)
        size = size_of(request.page_size, default=50, largest=LARGEST_PAGE)
        await self._access.authenticate(authorization)
        with own_token():
            flips, following = await self._flip_log.page(
                tenant_id=facts.get("tenant_id"),
                since=facts.get("since"),
                cursor=facts.get("page_token"),
                limit=size,
            )
        found, token = page_of(
            flips,
            lambda flip: fill(Flip(), {"entry": flip, "tasks": flip["tasks"]}),
            lambda flip: cursor_in(LIST, flip["id"]),
            more=following is not None,
        )
        return ListFlipsResponse(flips=found, next_page_token=token)

    async def verify_ledger(self, authorization: str | None, request: VerifyLedgerRequest) -> VerifyLedgerResponse:
        """The whole ledger."""
        await self._access.authenticate(authorization)
        return fill(VerifyLedgerResponse(), document(await verify(self._database)))

    async def explain_task(self, authorization: str | None, request: ExplainTaskRequest) -> ExplainTaskResponse:
        """Each start of a task."""
        task_id = facts_of(request).get("task_id", "")
        caller = await self._access.authenticate(authorization)
        return fill(ExplainTaskResponse(), await self._explanations.why(task_id, caller))
