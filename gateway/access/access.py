"""Authentication and authorisation (contract §1, §4; quirks A1, C1), read from MemStack's own tables.

Nothing is remembered from one request to the next, so a key that is revoked is refused at once. What keeps this
cheap is that lookups asked at the same moment travel in one statement.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from gateway.access.batched_lookup import BatchedLookups, Lookup
from gateway.access.key_use import KeyUse
from gateway.access.key_watch import KeyWatch
from gateway.access.keys import hash_key, read_key
from gateway.access.placement import Caller, Placement, Tier
from gateway.errors import Forbidden, Unauthenticated
from gateway.storage.database import Database

NO_PROJECT = "You do not have access to this project"
NO_TENANT = "You do not have access to this tenant"


@dataclass(frozen=True, slots=True)
class Admission:
    """A caller, and where what it asks for belongs.

    `project_role` is the caller's role in the named project: `owner`, `admin`, `member`, `viewer`; None when it has
    none of its own there (it may still belong to the project's tenant, or be an administrator).
    """

    caller: Caller
    placement: Placement
    project_role: str | None


class Access:
    """Answers who calls and what the caller may name. Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._lookups = BatchedLookups(database)
        self._use = KeyUse(database)
        self._watch = KeyWatch(database)

    async def authenticate(self, authorization: str | None) -> Caller:
        """The caller behind an Authorization header. Raises `Unauthenticated` with the messages of contract §1."""
        return self._identify(await self._lookups.ask(Lookup(key_hash=hash_key(read_key(authorization)))))

    async def authenticate_administrator(self, authorization: str | None) -> Caller:
        """The caller, who is a system administrator (contract §1). Raises `Unauthenticated`, `Forbidden`."""
        caller = await self.authenticate(authorization)
        if not caller.is_admin:
            raise Forbidden("Only administrators may see this")
        return caller

    async def admit(
        self, authorization: str | None, *, project_id: str | None = None, tenant_id: str | None = None
    ) -> Admission:
        """`authenticate` and `place` in one round trip."""
        lookup = Lookup(
            key_hash=hash_key(read_key(authorization)), project_id=_name(project_id), tenant_id=_name(tenant_id)
        )
        row = await self._lookups.ask(lookup)
        caller = self._identify(row)
        return Admission(caller, _place(row, caller, lookup), row["project_role"])

    async def admit_user(
        self, user_id: str, *, project_id: str | None = None, tenant_id: str | None = None
    ) -> Admission:
        """`admit` for a user who is not here, by the rights it has now. `Forbidden` also when it is not active."""
        lookup = Lookup(user_id=_name(user_id), project_id=_name(project_id), tenant_id=_name(tenant_id))
        row = await self._lookups.ask(lookup)
        if row["user_id"] is None or not row["user_is_active"]:
            raise Forbidden("The user on whose behalf this is done is not active")
        caller = Caller(row["user_id"], "", row["is_admin"], frozenset(row["tenant_ids"]))
        return Admission(caller, _place(row, caller, lookup), row["project_role"])

    async def place(self, caller: Caller, project_id: str | None = None, tenant_id: str | None = None) -> Placement:
        """Where a task belongs (contract §4): the tenant of the project; else the tenant named; else the caller's own.

        The caller's own tenant is one that it owns, else the one with the lowest id it belongs to; a caller without
        any places its tasks nowhere (`tenant_id` None), where only administrators see them. Raises `Forbidden` for a
        project or tenant that does not exist or is not the caller's; administrators may name any that exists.
        """
        lookup = Lookup(user_id=caller.user_id, project_id=_name(project_id), tenant_id=_name(tenant_id))
        return _place(await self._lookups.ask(lookup), caller, lookup)

    def watch_key(self, caller: Caller, end: Callable[[], None]) -> AbstractContextManager[None]:
        """While it is entered, `end` is called within seconds of the caller's key or user losing its validity."""
        return self._watch.watching(caller.key_id, end)

    async def close(self) -> None:
        """Write down the last uses of keys; watch none any more."""
        await self._watch.close()
        await self._use.close()

    def _identify(self, row: Any) -> Caller:
        if row["key_id"] is None or row["user_id"] is None:
            raise Unauthenticated("Invalid API key")
        # Legacy does not say what a deactivated user gets; its keys are dead all the same.
        if not row["key_is_active"] or not row["user_is_active"]:
            raise Unauthenticated("API key has been deactivated")
        if row["key_has_expired"]:
            raise Unauthenticated("API key has expired")
        self._use.note(row["key_id"])
        return Caller(row["user_id"], row["key_id"], row["is_admin"], frozenset(row["tenant_ids"]))


def _name(text: str | None) -> str | None:
    """A name to be looked up; the empty one, which nothing has, for text that PostgreSQL cannot hold."""
    if not text:
        return None
    try:
        return "" if "\0" in text or not text.encode() else text
    except UnicodeEncodeError:
        return ""


def _place(row: Any, caller: Caller, lookup: Lookup) -> Placement:
    if lookup.project_id is not None and not (
        row["project_is_known"] and (row["project_role"] is not None or caller.sees(row["project_tenant_id"]))
    ):
        raise Forbidden(NO_PROJECT)
    # A tenant that is named beside a project does not decide where the task belongs, but C1 holds for it too.
    if lookup.tenant_id is not None and not (
        row["tenant_is_known"] and (caller.sees(lookup.tenant_id) or lookup.tenant_id == row["project_tenant_id"])
    ):
        raise Forbidden(NO_TENANT)
    return Placement(row["tenant_id"], lookup.project_id, Tier.of_plan(row["plan"]), row["plan"])
