"""`taskgate.v1.CallbackService`, on the use cases that HTTP uses, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from pydantic import BaseModel
from taskgate.v1 import (
    CallbackDelivery,
    GetCallbackRequest,
    GetCallbackResponse,
    ListCallbacksRequest,
    ListCallbacksResponse,
    ListWebhookSecretsRequest,
    ListWebhookSecretsResponse,
    ResendCallbackRequest,
    ResendCallbackResponse,
    ResendCallbacksRequest,
    ResendCallbacksResponse,
    RotateWebhookSecretRequest,
    RotateWebhookSecretResponse,
    WebhookSecret,
)

from gateway.callbacks.callback import CallbackEvent
from gateway.callbacks.deliveries import DeliveryFilter
from gateway.callbacks.requests import Id, Resend, Rotation, State
from gateway.rpc.calls import KeyedCalls, Method, Unbroken
from gateway.rpc.failures import InvalidFields, Violation
from gateway.rpc.messages import checked, facts_of, fill
from gateway.rpc.pages import own_token, size_of
from gateway.rpc.values import read_json

if TYPE_CHECKING:
    from gateway.gateway import Gateway

SERVICE = "taskgate.v1.CallbackService"


class _Which(BaseModel):
    """Which callbacks a list shows."""

    tenant_id: Id | None = None
    task_id: Id | None = None
    state: State | None = None
    event: CallbackEvent | None = None


class CallbackService:
    """The calls of the service. Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._deliveries = gateway.deliveries
        self._secrets = gateway.tenant_secrets
        self._unbroken = unbroken

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "ListCallbacks": calls.unary(ListCallbacksRequest, self.list),
            "GetCallback": calls.unary(GetCallbackRequest, self.get),
            "ResendCallback": calls.unary(ResendCallbackRequest, self.resend),
            "ResendCallbacks": calls.unary(ResendCallbacksRequest, self.resend_dead),
            "RotateWebhookSecret": calls.unary(RotateWebhookSecretRequest, self.rotate),
            "ListWebhookSecrets": calls.unary(ListWebhookSecretsRequest, self.secrets),
        }

    async def list(self, authorization: str | None, request: ListCallbacksRequest) -> ListCallbacksResponse:
        """A page, newest first."""
        size = size_of(request.page_size, default=50, largest=200)
        asked = checked(_Which, facts_of(request))
        which = DeliveryFilter(asked.tenant_id, asked.task_id, asked.state, asked.event)
        caller = await self._access.authenticate(authorization)
        with own_token():
            page, token = await self._deliveries.list(caller, which, limit=size, cursor=request.page_token or None)
        callbacks = [fill(CallbackDelivery(), callback) for callback in page]
        return ListCallbacksResponse(callbacks=callbacks, next_page_token=token or "")

    async def get(self, authorization: str | None, request: GetCallbackRequest) -> GetCallbackResponse:
        """One callback with its body."""
        row = await self._deliveries.get(await self._access.authenticate(authorization), request.id)
        return fill(GetCallbackResponse(), {"callback": row, "body": read_json(row["body"])})

    async def resend(self, authorization: str | None, request: ResendCallbackRequest) -> ResendCallbackResponse:
        """Send it again."""
        caller = await self._access.authenticate(authorization)
        await self._unbroken.run(self._deliveries.resend(caller, request.id, actor=caller.user_id))
        return ResendCallbackResponse()

    async def resend_dead(self, authorization: str | None, request: ResendCallbacksRequest) -> ResendCallbacksResponse:
        """Send again what was given up."""
        asked = checked(Resend, facts_of(request))
        caller = await self._access.authenticate(authorization)
        work = self._deliveries.resend_dead(caller, asked, actor=caller.user_id)
        return fill(ResendCallbacksResponse(), asdict(await self._unbroken.run(work)))

    async def rotate(
        self, authorization: str | None, request: RotateWebhookSecretRequest
    ) -> RotateWebhookSecretResponse:
        """A new secret."""
        facts = facts_of(request)
        given = {"overlap_hours": facts["overlap_seconds"] / 3600} if "overlap_seconds" in facts else {}
        try:
            rotation = checked(Rotation, given)
        except InvalidFields as error:
            raise InvalidFields([Violation("overlap", each.description) for each in error.violations]) from None
        caller = await self._access.authenticate(authorization)
        work = self._secrets.rotate(caller, facts.get("tenant_id", ""), rotation.overlap, actor=caller.user_id)
        made = await self._unbroken.run(work)
        return fill(RotateWebhookSecretResponse(), {"secret": made.secret, "created_at": made.created_at})

    async def secrets(
        self, authorization: str | None, request: ListWebhookSecretsRequest
    ) -> ListWebhookSecretsResponse:
        """The valid secrets, without themselves."""
        caller = await self._access.authenticate(authorization)
        found = await self._secrets.list(caller, request.tenant_id)
        return ListWebhookSecretsResponse(secrets=[fill(WebhookSecret(), secret) for secret in found])
