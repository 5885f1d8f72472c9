"""Users, keys, tenants and projects in MemStack's own tables (contract §1)."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from gateway.storage.database import Database


@dataclass(frozen=True)
class Person:
    """A user with a key."""

    user_id: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@dataclass(frozen=True)
class Household:
    """A tenant of a test's own, with one project.

    `owner` owns both; `member` belongs to the tenant; `viewer` and `guest_member` belong to the project only, one as
    viewer, one as member.
    """

    tenant_id: str
    project_id: str
    owner: Person
    member: Person
    viewer: Person
    guest_member: Person
    name: str


#: In one statement, because nearly every test makes one. $4: owner, member, viewer, guest; $5: hashes of their keys.
_HOUSEHOLD = """
WITH people AS (
    INSERT INTO users (id, email, name) SELECT id, id, id FROM unnest($4::text[]) AS id
), keys AS (
    INSERT INTO api_keys (id, key_hash, name, user_id, permissions)
    SELECT 'key-' || user_id, hash, 'contract', user_id, '[]' FROM unnest($4::text[], $5::text[]) AS k (user_id, hash)
), tenant AS (
    INSERT INTO tenants (id, name, owner_id, plan) VALUES ($1, $1, ($4::text[])[1], $3)
), project AS (
    INSERT INTO projects (id, tenant_id, name, owner_id) VALUES ($2, $1, $2, ($4::text[])[1])
), members AS (
    INSERT INTO user_tenants (user_id, tenant_id, role)
    VALUES (($4::text[])[1], $1, 'owner'), (($4::text[])[2], $1, 'member')
)
INSERT INTO user_projects (user_id, project_id, role)
VALUES (($4::text[])[1], $2, 'owner'), (($4::text[])[3], $2, 'viewer'), (($4::text[])[4], $2, 'member')
"""


def _new_key() -> str:
    return f"ms_sk_{secrets.token_hex(32)}"


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class People:
    """Writes rows of contract §1."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def household(self, plan: str = "standard") -> Household:
        """A new tenant that nobody else uses."""
        name = secrets.token_hex(5)
        people = [Person(f"{role}-{name}", _new_key()) for role in ("owner", "member", "viewer", "guest")]
        home = Household(f"tenant-{name}", f"project-{name}", *people, name)
        await self._db.execute(
            _HOUSEHOLD,
            home.tenant_id,
            home.project_id,
            plan,
            [person.user_id for person in people],
            [_hash(person.key) for person in people],
        )
        return home

    async def person(self, user_id: str | None = None, *, admin: bool = False, active: bool = True) -> Person:
        user_id = user_id or f"user-{secrets.token_hex(5)}"
        await self._db.execute(
            "INSERT INTO users (id, email, name, is_active) VALUES ($1, $1, $1, $2)", user_id, active
        )
        if admin:
            await self._db.execute("INSERT INTO roles (id, name) VALUES ('role-admin', 'admin') ON CONFLICT DO NOTHING")
            await self._db.execute("INSERT INTO user_roles (user_id, role_id) VALUES ($1, 'role-admin')", user_id)
        return Person(user_id, await self.key(user_id))

    async def key(self, user_id: str, *, active: bool = True, expires_in: float | None = None) -> str:
        """A further key; `expires_in` is in seconds, and may be past."""
        key = _new_key()
        await self._db.execute(
            "INSERT INTO api_keys (id, key_hash, name, user_id, is_active, expires_at, permissions)"
            " VALUES ($1, $2, 'contract', $3, $4, now() + make_interval(secs => $5), '[]')",
            f"key-{secrets.token_hex(5)}",
            _hash(key),
            user_id,
            active,
            expires_in,
        )
        return key

    async def tenant(self, tenant_id: str, owner: Person, plan: str = "standard") -> str:
        await self._db.execute(
            "INSERT INTO tenants (id, name, owner_id, plan) VALUES ($1, $1, $2, $3)", tenant_id, owner.user_id, plan
        )
        await self.join_tenant(owner, tenant_id, "owner")
        return tenant_id

    async def join_tenant(self, person: Person, tenant_id: str, role: str) -> None:
        await self._db.execute(
            "INSERT INTO user_tenants (user_id, tenant_id, role) VALUES ($1, $2, $3)", person.user_id, tenant_id, role
        )

    async def project(self, project_id: str, tenant_id: str, owner: Person) -> str:
        await self._db.execute(
            "INSERT INTO projects (id, tenant_id, name, owner_id) VALUES ($1, $2, $1, $3)",
            project_id,
            tenant_id,
            owner.user_id,
        )
        await self.join_project(owner, project_id, "owner")
        return project_id

    async def join_project(self, person: Person, project_id: str, role: str) -> None:
        await self._db.execute(
            "INSERT INTO user_projects (user_id, project_id, role) VALUES ($1, $2, $3)",
            person.user_id,
            project_id,
            role,
        )
