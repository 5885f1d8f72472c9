"""`taskgate.v1.KeyService`, on the use cases that HTTP uses, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from taskgate.v1 import (
    CreateKeyRequest,
    CreateKeyResponse,
    GetKeyRequest,
    GetKeyResponse,
    Key,
    ListKeysRequest,
    ListKeysResponse,
    RevokeKeyRequest,
    RevokeKeyResponse,
    RotateKeyRequest,
    RotateKeyResponse,
)

from gateway.access.key_requests import KeyRotation, NewKey
from gateway.rpc.calls import KeyedCalls, Method, Unbroken
from gateway.rpc.messages import checked, facts_of, fill
from gateway.rpc.pages import size_of
from gateway.rpc.requests import Reason

if TYPE_CHECKING:
    from gateway.gateway import Gateway

SERVICE = "taskgate.v1.KeyService"


class KeyService:
    """The calls of the service. Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._keys = gateway.key_ring
        self._unbroken = unbroken

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "CreateKey": calls.unary(CreateKeyRequest, self.create),
            "ListKeys": calls.unary(ListKeysRequest, self.list),
            "GetKey": calls.unary(GetKeyRequest, self.get),
            "RotateKey": calls.unary(RotateKeyRequest, self.rotate),
            "RevokeKey": calls.unary(RevokeKeyRequest, self.revoke),
        }

    async def create(self, authorization: str | None, request: CreateKeyRequest) -> CreateKeyResponse:
        """Make a key."""
        new = checked(NewKey, facts_of(request))
        caller = await self._access.authenticate(authorization)
        made = await self._unbroken.run(self._keys.create(caller, new))
        return CreateKeyResponse(key=fill(Key(), made), secret=made["key"])

    async def list(self, authorization: str | None, request: ListKeysRequest) -> ListKeysResponse:
        """A page, by id."""
        facts = facts_of(request)
        size = size_of(request.page_size, default=100, largest=1000)
        caller = await self._access.authenticate(authorization)
        found = await self._keys.list(
            caller,
            tenant_id=facts.get("tenant_id"),
            user_id=facts.get("user_id"),
            after=facts.get("page_token", ""),
            limit=size + 1,
        )
        token = found[size - 1]["key_id"] if len(found) > size else ""
        return ListKeysResponse(keys=[fill(Key(), one) for one in found[:size]], next_page_token=token)

    async def get(self, authorization: str | None, request: GetKeyRequest) -> GetKeyResponse:
        """One key."""
        key_id = facts_of(request).get("key_id", "")
        caller = await self._access.authenticate(authorization)
        return GetKeyResponse(key=fill(Key(), await self._keys.get(caller, key_id)))

    async def rotate(self, authorization: str | None, request: RotateKeyRequest) -> RotateKeyResponse:
        """Have a key followed by a new one."""
        facts = facts_of(request)
        key_id = facts.pop("key_id", "")
        how = checked(KeyRotation, facts)
        caller = await self._access.authenticate(authorization)
        made = await self._unbroken.run(self._keys.rotate(caller, key_id, how))
        return RotateKeyResponse(key=fill(Key(), made), secret=made["key"])

    async def revoke(self, authorization: str | None, request: RevokeKeyRequest) -> RevokeKeyResponse:
        """Have no gateway take a key any more."""
        facts = facts_of(request)
        why = checked(Reason, facts).why
        caller = await self._access.authenticate(authorization)
        revoked = await self._unbroken.run(self._keys.revoke(caller, facts.get("key_id", ""), why))
        return RevokeKeyResponse(key=fill(Key(), revoked))
