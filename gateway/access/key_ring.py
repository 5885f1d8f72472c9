"""Keys as people manage them: made, listed, rotated, revoked."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson

from gateway.access.key_requests import KeyRotation, NewKey
from gateway.access.keys import create_key, hash_key
from gateway.access.placement import Caller
from gateway.access.verbs import KeyScope
from gateway.audit.acts import Act, record
from gateway.errors import Forbidden, InvalidRequest, KeyNotFound, KeyNotRotatable, KeysNotWritable
from gateway.storage.database import Database, type_Connection
from gateway.storage.queries import Queries

SQL = Queries("gateway.access", "keys.sql")

Row = dict[str, Any]

#: What MemStack itself reads, for each scope.
_PERMISSIONS = {
    KeyScope.READ: ["read"],
    KeyScope.SUBMIT: ["read", "write"],
    KeyScope.OPERATE: ["read", "write"],
    KeyScope.ADMIN: ["read", "write", "admin"],
}
#: What the record says of a key.
_TOLD = ("name", "user_id", "scope", "tenant_id", "project_id", "per_minute", "expires_at", "state")


class KeyRing:
    """Makes, lists, rotates and revokes keys, as far as the caller may.

    Administrators manage every key; managers of a tenant or project those for it, and their own without a tenant.

    Every method raises `DatabaseUnavailable`, and `Forbidden`; those that change something `LedgerUnwritable` and
    `KeysNotWritable`: nothing was changed then.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def create(self, caller: Caller, new: NewKey) -> Row:
        """The key, with `key` itself, which is never shown again. Raises `InvalidRequest`."""
        user_id = new.user_id or caller.user_id
        if not caller.is_admin:
            if user_id != caller.user_id:
                raise Forbidden("Only administrators may make keys for other users")
            if new.tenant_id is None:
                raise InvalidRequest(
                    "Name a tenant: keys for all tenants are made by administrators.", field="tenant_id"
                )
        if new.tenant_id is None and new.project_id is not None:
            raise InvalidRequest("Name the tenant of the project.", field="tenant_id")
        if new.tenant_id is not None:
            self._check_place(caller, new.tenant_id, new.project_id)
        if new.expires_at is not None and new.expires_at <= datetime.now(UTC):
            raise InvalidRequest("The key would have expired already.", field="expires_at")
        with _writing():
            async with self._db.transaction() as db:
                await _check_user(db, user_id, new.tenant_id, new.project_id)
                permissions = orjson.dumps(_PERMISSIONS[KeyScope[new.scope.upper()]]).decode()
                key_id, key = await _add(
                    db,
                    (new.name, user_id, new.expires_at, permissions),
                    (new.scope, new.tenant_id, new.project_id, new.per_minute, None, caller.user_id),
                )
                made = await _read(db, key_id)
                await record(db, Act("key.create", f"key:{key_id}", caller.user_id, new.why, None, _told(made)))
        return {**made, "key": key}

    async def list(
        self,
        caller: Caller,
        *,
        tenant_id: str | None = None,
        user_id: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> list[Row]:
        """A page by id, of the keys that the caller manages."""
        tenants, projects = (None, []) if caller.is_admin else _managed(caller)
        # A key for one tenant does not lead to those of its user that are for all.
        own = caller.user_id if caller.only is None else None
        project = None if caller.only is None else caller.only.project_id
        query = SQL.list.replace("/*columns*/", SQL.columns)
        rows = await self._db.fetch(query, tenants, own, after, limit, tenant_id, user_id, project, projects)
        return [_shown(row) for row in rows]

    async def get(self, caller: Caller, key_id: str) -> Row:
        """Raises `KeyNotFound`, also for a key that the caller does not manage."""
        async with self._db.acquire() as db:
            return self._managed_one(caller, await _read(db, key_id))

    async def rotate(self, caller: Caller, key_id: str, how: KeyRotation) -> Row:
        """A new key with the same facts, which is shown this once; the old one ends after the overlap.

        Of two rotations of one key the second is refused, and so is anybody but an administrator who rotates another
        user's: the answer is a key of that user. Raises `KeyNotFound`, `KeyNotRotatable`, `InvalidRequest`.
        """
        if how.expires_at is not None and how.expires_at <= datetime.now(UTC):
            raise InvalidRequest("The new key would have expired already.", field="expires_at")
        with _writing():
            async with self._db.transaction() as db:
                old = await self._locked(db, caller, key_id)
                if old["user_id"] != caller.user_id and not caller.is_admin:
                    raise Forbidden("Only administrators may rotate keys of other users; you may revoke this one")
                if old["replaced_by"] is not None:
                    raise KeyNotRotatable(f"The key was rotated before: {old['replaced_by']} follows it.")
                if old["state"] != "active":
                    raise KeyNotRotatable(f"The key is {old['state']}.")
                new_id, key = await _add(
                    db,
                    (old["name"], old["user_id"], how.expires_at, orjson.dumps(old["permissions"]).decode()),
                    (old["scope"], old["tenant_id"], old["project_id"], old["per_minute"], key_id, caller.user_id),
                )
                await db.execute(SQL.replaced, key_id, new_id)
                await db.execute(SQL.end, key_id, how.overlap_seconds)
                await db.execute(SQL.announce, key_id)
                made = await _read(db, new_id)
                ended = await _read(db, key_id)
                detail = {"new_key_id": new_id, "overlap_seconds": how.overlap_seconds}
                await record(
                    db, Act("key.rotate", f"key:{key_id}", caller.user_id, how.why, _told(old), _told(ended), detail)
                )
        return {**made, "key": key}

    async def revoke(self, caller: Caller, key_id: str, why: str | None) -> Row:
        """No gateway takes the key any more. One that is revoked already stays as it is. Raises `KeyNotFound`."""
        with _writing():
            async with self._db.transaction() as db:
                before = await self._locked(db, caller, key_id)
                if before["state"] == "revoked":
                    return before
                await db.execute(SQL.deactivate, key_id)
                await db.execute(SQL.revoked, key_id, caller.user_id)
                await db.execute(SQL.announce, key_id)
                after = await _read(db, key_id)
                await record(db, Act("key.revoke", f"key:{key_id}", caller.user_id, why, _told(before), _told(after)))
        return after

    async def _locked(self, db: type_Connection, caller: Caller, key_id: str) -> Row:
        """The key, which nobody else changes until the end of the transaction."""
        self._managed_one(caller, await _read(db, key_id))
        await db.execute(SQL.lock, key_id)
        return await _read(db, key_id)

    def _managed_one(self, caller: Caller, key: Row) -> Row:
        tenant_id, project_id = key["tenant_id"], key["project_id"]
        if tenant_id is None:
            if not caller.is_admin and (key["user_id"] != caller.user_id or caller.only is not None):
                raise KeyNotFound
        elif not caller.sees(tenant_id, project_id):
            raise KeyNotFound
        else:
            self._check_place(caller, tenant_id, project_id)
        return key

    def _check_place(self, caller: Caller, tenant_id: str, project_id: str | None) -> None:
        """Raises `Forbidden`."""
        if not caller.sees(tenant_id, project_id):
            raise Forbidden("You do not have access to this tenant")
        caller.check(tenant_id, project_id)


def _managed(caller: Caller) -> tuple[list[str], list[str]]:
    """The tenants, and the projects in others, whose keys the caller manages."""
    assert caller.rights is not None  # only legacy endpoints go without
    roles, least = caller.rights.roles, caller.rights.verb.level
    tenants = sorted(one for one in caller.belongs_to if roles.level(one, None) >= least)
    return tenants, sorted(one for one, role in roles.projects.items() if role.level >= least)


async def _check_user(db: type_Connection, user_id: str, tenant_id: str | None, project_id: str | None) -> None:
    """Raises `InvalidRequest` when the key could be used for nothing."""
    user = await db.fetchrow(SQL.user_in, user_id, tenant_id)
    if user is None or not user["is_active"]:
        raise InvalidRequest("There is no such active user.", field="user_id")
    if tenant_id is not None and not user["belongs"]:
        raise InvalidRequest("The user does not belong to this tenant.", field="tenant_id")
    if project_id is not None and not await db.fetchval(SQL.project_in, project_id, tenant_id):
        raise InvalidRequest("The tenant has no such project.", field="project_id")


async def _add(
    db: type_Connection,
    legacy: tuple[str, str, datetime | None, str],
    facts: tuple[str | None, str | None, str | None, int | None, str | None, str],
) -> tuple[str, str]:
    """Its id, and the key."""
    key_id, key = str(uuid.uuid4()), create_key()
    await db.execute(SQL.add, key_id, hash_key(key), *legacy)
    await db.execute(SQL.add_facts, key_id, *facts)
    return key_id, key


async def _read(db: type_Connection, key_id: str) -> Row:
    """Raises `KeyNotFound`."""
    row = await db.fetchrow(SQL.get.replace("/*columns*/", SQL.columns), key_id)
    if row is None:
        raise KeyNotFound
    return _shown(row)


def _shown(record_: asyncpg.Record) -> Row:
    row = dict(record_)
    named = orjson.loads(row["permissions"] or "[]")
    row["permissions"] = [str(one) for one in named] if isinstance(named, list) else []
    has_expired, is_active = row.pop("has_expired"), row.pop("is_active")
    row["state"] = "revoked" if not is_active else "expired" if has_expired else "active"
    return row


def _told(key: Row) -> Row:
    return {name: key[name] for name in _TOLD}


@contextmanager
def _writing() -> Iterator[None]:
    """Raises `KeysNotWritable`."""
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise KeysNotWritable from error
