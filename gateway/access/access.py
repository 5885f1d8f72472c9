"""Authentication and authorisation (contract §1, §4; quirks A1, C1), read from MemStack's own tables.

Nothing is remembered from one request to the next, so a key that is revoked is refused at once. What keeps this
cheap is that lookups asked at the same moment travel in one statement.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from typing import Any

import orjson

from gateway.access.admission import Admission
from gateway.access.attempts import FailedAttempts
from gateway.access.batched_lookup import SUSPECT_PAUSE, BatchedLookups, Lookup
from gateway.access.buckets import Buckets
from gateway.access.groups import SHARED_GROUP, covers_tenant, groups_of_tenant, own_group
from gateway.access.key_use import KeyUse
from gateway.access.key_watch import KeyWatch, Used
from gateway.access.keys import hash_key, read_key
from gateway.access.placement import Caller, Only, Placement
from gateway.access.rights import ProjectRole, Rights, Roles, level_of
from gateway.access.sessions import OpenSession, SessionEnded, Sessions
from gateway.access.standing import standing_of
from gateway.access.verbs import ASKED, Asked, KeyScope, Verb
from gateway.errors import Forbidden, KeyRateExceeded, Unauthenticated
from gateway.storage.database import Database
from gateway.storage.listener import Listener

NO_PROJECT = "You do not have access to this project"
NO_TENANT = "You do not have access to this tenant"


class Access:
    """Resolves the caller and what it may use. Every method raises `DatabaseUnavailable`."""

    def __init__(
        self,
        database: Database,
        *,
        listener: Listener | None = None,
        shared_default_group: bool = False,
        enforce_legacy: bool = False,
        failed_attempts: int = 0,
        sessions: Sessions | None = None,
    ) -> None:
        """`enforce_legacy`: enforce roles and permissions on legacy endpoints; otherwise count violations there.

        `failed_attempts` of an address in a minute are told what is wrong with the key; 0: any number. Without
        `sessions` keys alone count.
        """
        self._db = database
        self._is_shared = shared_default_group
        self._enforce_legacy = enforce_legacy
        self._lookups = BatchedLookups(database)
        self._slow_lookups = BatchedLookups(database, pause=SUSPECT_PAUSE)
        self._use = KeyUse(database)
        self._sessions = sessions
        self._watch = KeyWatch(database, listener, sessions)
        self._attempts = FailedAttempts(failed_attempts)
        self._rates = Buckets()

    async def authenticate(self, authorization: str | None) -> Caller:
        """The caller behind an Authorization header or a session, who may do what it asks for somewhere.

        Raises `Unauthenticated` with the messages of contract §1, `Forbidden`, `TooManyAttempts`, `KeyRateExceeded`.
        """
        session = await self._session(authorization)
        lookup = Lookup(key_hash=_key_hash(authorization, session))
        return self._identify(await self._ask(lookup), lookup, session)

    async def identify(self, authorization: str | None) -> tuple[Caller, frozenset[Verb], datetime | None]:
        """As `authenticate`, with all that the caller may do somewhere, and when its session ends at the latest."""
        session = await self._session(authorization)
        lookup = Lookup(key_hash=_key_hash(authorization, session))
        row = await self._ask(lookup)
        caller = self._identify(row, lookup, session)
        permissions, scope, roles = _permissions(row["key_permissions"]), _scope(row), _roles(row, lookup)
        permitted = frozenset(verb for verb in Verb if Rights(verb, roles).permits(permissions, scope))
        return caller, permitted, None if session is None else session.expires_at

    async def admit(
        self, authorization: str | None, *, project_id: str | None = None, tenant_id: str | None = None
    ) -> Admission:
        """`authenticate` and `place` in one round trip."""
        session = await self._session(authorization)
        lookup = Lookup(
            key_hash=_key_hash(authorization, session), project_id=_name(project_id), tenant_id=_name(tenant_id)
        )
        row = await self._ask(lookup)
        caller = self._identify(row, lookup, session)
        return self._admission(row, caller, lookup)

    async def admit_user(
        self, user_id: str, *, project_id: str | None = None, tenant_id: str | None = None
    ) -> Admission:
        """`admit` for a user who is not here, by the rights it has now. `Forbidden` also when it is not active."""
        lookup = Lookup(user_id=_name(user_id), project_id=_name(project_id), tenant_id=_name(tenant_id))
        row = await self._lookups.ask(lookup)
        if row["user_id"] is None or not row["user_is_active"]:
            raise Forbidden("The user on whose behalf this is done is not active")
        rights = Rights(Verb.SUBMIT, _roles(row, lookup))
        caller = Caller(row["user_id"], "", row["is_admin"], frozenset(row["tenant_ids"]), rights)
        return self._admission(row, caller, lookup)

    async def place(self, caller: Caller, project_id: str | None = None, tenant_id: str | None = None) -> Placement:
        """Where a task belongs (contract §4): the tenant of the project; else the tenant named; else the caller's own.

        The caller's own tenant is one that it owns, else the one with the lowest id it belongs to; a caller without
        any places its tasks nowhere (`tenant_id` None), where only administrators see them. Raises `Forbidden` for a
        project or tenant that does not exist or is not the caller's; administrators may name any that exists.
        """
        lookup = Lookup(user_id=caller.user_id, project_id=_name(project_id), tenant_id=_name(tenant_id))
        return _place(await self._lookups.ask(lookup), caller, lookup)

    async def groups_of(self, admission: Admission, task_type: str, group_id: str) -> list[str] | None:
        """What `group_ids` of a task in this group says: all that maintenance of a tenant works on; None: the group."""
        place = admission.placement
        if not covers_tenant(task_type, group_id, place.project_id):
            return None
        return await groups_of_tenant(self._db, place.tenant_id, group_id)

    def watch_key(self, caller: Caller, end: Callable[[], None]) -> AbstractContextManager[None]:
        """While it is entered, `end` is called within seconds of the end of the caller's key, user or session, and of
        its loss of a role."""
        return self._watch.watching(Used(caller.key_id, caller.standing, caller.session_id), end)

    async def legacy_use(self) -> list[dict[str, Any]]:
        """Requests over legacy endpoints beyond roles and permissions, by key and verb, the most first."""
        return await self._use.legacy_use()

    async def close(self) -> None:
        """Store the last uses of keys, and stop watching keys."""
        await self._watch.close()
        await self._use.close()

    def _admission(self, row: Any, caller: Caller, lookup: Lookup) -> Admission:
        place = _place(row, caller, lookup)
        own = own_group(place.tenant_id, caller.user_id, is_taken=row["tenant_id_is_taken"])
        return Admission(caller, place, row["project_role"], SHARED_GROUP if self._is_shared else own)

    def _count_beyond_roles(self, asked: Asked, key_id: str, verb: Verb) -> None:
        if not asked.is_counted:
            asked.is_counted = True
            self._use.note_beyond_roles(key_id, verb)

    async def _session(self, authorization: str | None) -> OpenSession | None:
        """The session of the request; None: it is asked with a key. Raises `SessionEnded`, `TooManyAttempts`."""
        asked = ASKED.get()
        if authorization or self._sessions is None or not asked.session_token_hash:
            return None
        session = await self._sessions.find(asked.session_token_hash)
        if session is None:
            self._attempts.failed(asked.address, asked.session_token_hash)
            raise SessionEnded
        self._attempts.succeeded(asked.session_token_hash)
        return session

    async def _ask(self, lookup: Lookup) -> Any:
        """The row of a valid key. Raises `Unauthenticated`, `TooManyAttempts`."""
        asked = ASKED.get()
        is_suspect = self._attempts.is_suspect(asked.address, lookup.key_hash)
        row = await (self._slow_lookups if is_suspect else self._lookups).ask(lookup)
        try:
            _check_valid(row)
        except Unauthenticated:
            self._attempts.failed(asked.address, lookup.key_hash)
            raise
        self._attempts.succeeded(lookup.key_hash)
        return row

    def _charge(self, key_id: str, per_minute: int | None) -> None:
        if per_minute is not None and (wait := self._rates.take(key_id, per_minute)):
            raise KeyRateExceeded(f"This key may make {per_minute} requests a minute.", retry_after=wait)

    def _identify(self, row: Any, lookup: Lookup, session: OpenSession | None) -> Caller:
        asked, key_id = ASKED.get(), row["key_id"]
        if not asked.key_id:  # a request counts once
            asked.key_id = key_id
            self._use.note(key_id, asked.address)
            self._charge(key_id, row["key_per_minute"])
        scope = _scope(row)
        # Clients of legacy endpoints have keys without a scope; whoever makes one with a scope wants it held to that.
        tolerated = asked.is_legacy and not self._enforce_legacy and scope is None
        rights = Rights(
            asked.verb, _roles(row, lookup), partial(self._count_beyond_roles, asked, key_id) if tolerated else None
        )
        # A request is counted only once.
        is_allowed = rights.check_key(_permissions(row["key_permissions"]), scope) and rights.check_anywhere()
        only = None if row["key_tenant_id"] is None else Only(row["key_tenant_id"], row["key_project_id"])
        tenant_ids = frozenset(row["tenant_ids"])
        return Caller(
            row["user_id"],
            key_id,
            row["is_admin"],
            tenant_ids,
            rights if is_allowed else None,
            only,
            None if session is None else session.session_id,
            standing_of(row),
        )


def _key_hash(authorization: str | None, session: OpenSession | None) -> str:
    """Raises `MissingKey`, `Unauthenticated`."""
    return hash_key(read_key(authorization)) if session is None else session.key_hash


def _scope(row: Any) -> KeyScope | None:
    return None if row["key_scope"] is None else KeyScope[row["key_scope"].upper()]


def _check_valid(row: Any) -> None:
    """Raises `Unauthenticated`."""
    if row["key_id"] is None or row["user_id"] is None:
        raise Unauthenticated("Invalid API key")
    # MemStack does not define what a deactivated user gets; its keys are refused.
    if not row["key_is_active"] or not row["user_is_active"]:
        raise Unauthenticated("API key has been deactivated")
    if row["key_has_expired"]:
        raise Unauthenticated("API key has expired")


def _name(text: str | None) -> str | None:
    """A name to look up; text that PostgreSQL cannot store becomes empty, which nothing matches."""
    if not text:
        return None
    try:
        return "" if "\0" in text or not text.encode() else text
    except UnicodeEncodeError:
        return ""


def _roles(row: Any, lookup: Lookup) -> Roles:
    projects = {
        project: ProjectRole(tenant, level_of(role))
        for project, tenant, role in zip(
            row["project_ids"] or (), row["project_tenants"] or (), row["project_roles"] or (), strict=True
        )
    }
    if lookup.project_id is not None and row["project_role"] == "owner":
        projects[lookup.project_id] = ProjectRole(row["project_tenant_id"], level_of("owner"))
    tenants = zip(row["tenant_ids"], row["tenant_roles"], strict=True)
    return Roles(row["is_admin"], {tenant: level_of(role) for tenant, role in tenants}, projects)


def _permissions(text: str | None) -> frozenset[str]:
    """The permissions of a key. A key that names none is not restricted; names that cannot be read permit nothing."""
    named = orjson.loads(text) if text else None
    if not named:
        return frozenset()
    return frozenset(map(str, named)) if isinstance(named, list) else frozenset({""})


def _place(row: Any, caller: Caller, lookup: Lookup) -> Placement:
    if lookup.project_id is not None and not (
        row["project_is_known"]
        and (row["project_role"] is not None or caller.sees(row["project_tenant_id"], lookup.project_id))
    ):
        raise Forbidden(NO_PROJECT)
    # A tenant that is named beside a project does not decide where the task belongs, but C1 holds for it too.
    if lookup.tenant_id is not None and not (
        row["tenant_is_known"] and (caller.sees(lookup.tenant_id) or lookup.tenant_id == row["project_tenant_id"])
    ):
        raise Forbidden(NO_TENANT)
    caller.check(row["tenant_id"], lookup.project_id)
    return Placement(row["tenant_id"], lookup.project_id, row["plan"])
