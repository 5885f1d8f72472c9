"""Who migrates: what is made belongs to the owner, whoever that is, and the gateway's role may use it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from gateway.storage.preflight import DatabaseUnfit
from gateway.storage.schema.migrate import create_legacy_tables, migrate
from gateway.storage.schema.revisions import known_revisions

#: A revision after which tables are made.
BEFORE = "0240_sessions"
#: Those of the schema that belong to somebody else than $1, and those that $2 may not read.
OF_OTHERS = """
SELECT relname::text FROM pg_class
WHERE relnamespace = 'taskgate'::regnamespace AND relkind IN ('r', 'S', 'i') AND pg_get_userbyid(relowner) <> $1
"""
UNREADABLE = """
SELECT relname::text FROM pg_class
WHERE relnamespace = 'taskgate'::regnamespace AND relkind = 'r' AND NOT has_table_privilege($1, oid, 'SELECT')
"""


class Place:
    """A database as docs/install.md has it, before the migration."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.name = f"roles_{secrets.token_hex(4)}"
        self.owner, self.gateway, self.deployer = (f"{self.name}_{one}" for one in ("owner", "gateway", "deployer"))

    def url(self, role: str | None = None) -> str:
        """As this role; None: as the superuser."""
        parts = urlsplit(self._server)._replace(path=f"/{self.name}")
        netloc = parts.netloc if role is None else f"{role}:change-me@{parts.hostname}:{parts.port}"
        return parts._replace(netloc=netloc).geturl()

    async def execute(self, *statements: str, role: str | None = None) -> None:
        connection = await asyncpg.connect(self.url(role))
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    async def make(self) -> None:
        admin = await asyncpg.connect(self._server)
        for role in (self.owner, self.gateway, self.deployer):
            await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'change-me'")
        await admin.execute(f"CREATE DATABASE {self.name}")
        await admin.execute(f"GRANT CREATE ON DATABASE {self.name} TO {self.owner}")
        await admin.close()
        await self.execute(f"GRANT CREATE ON SCHEMA public TO {self.owner}")
        await create_legacy_tables(self.url(self.owner))

    async def grant(self) -> None:
        """As the owner, after the migration."""
        await self.execute(
            f"GRANT USAGE ON SCHEMA taskgate TO {self.gateway}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA taskgate TO {self.gateway}",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA taskgate GRANT SELECT ON TABLES TO {self.gateway}",
            role=self.owner,
        )

    async def names(self, query: str, role: str) -> list[str]:
        connection = await asyncpg.connect(self.url())
        found = [name for (name,) in await connection.fetch(query, role)]
        await connection.close()
        return found

    async def remove(self) -> None:
        admin = await asyncpg.connect(self._server)
        await admin.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
        for role in (self.deployer, self.gateway, self.owner):
            await admin.execute(f"DROP ROLE IF EXISTS {role}")
        await admin.close()


@pytest_asyncio.fixture
async def place(postgres_server: str) -> AsyncIterator[Place]:
    place = Place(postgres_server)
    try:
        await place.make()
        yield place
    finally:
        await place.remove()


async def test_what_a_superuser_migrates_is_the_owners(place: Place) -> None:
    assert await migrate(place.url(place.owner), BEFORE) == BEFORE
    await place.grant()
    assert await migrate(place.url()) == known_revisions()[-1]
    assert await place.names(OF_OTHERS, place.owner) == []
    assert await place.names(UNREADABLE, place.gateway) == []
    # The owner can go on.
    assert await migrate(place.url(place.owner)) == known_revisions()[-1]


async def test_what_a_member_of_the_owner_makes_is_the_owners(place: Place) -> None:
    with pytest.raises(DatabaseUnfit, match=f"GRANT {place.owner} TO {place.deployer}"):
        await migrate(place.url(place.deployer))
    await place.execute(f"GRANT {place.owner} TO {place.deployer}")
    assert await migrate(place.url(place.deployer)) == known_revisions()[-1]
    assert await place.names(OF_OTHERS, place.owner) == []
    assert await migrate(place.url(place.owner)) == known_revisions()[-1]


async def test_a_schema_that_a_superuser_made_stays_its(place: Place) -> None:
    """As by releases that took on no role, and in the embedded stack."""
    await migrate(place.url(place.owner), BEFORE)
    connection = await asyncpg.connect(place.url())
    who = await connection.fetchval("SELECT current_user")
    relations = await connection.fetch(
        "SELECT oid::regclass::text AS name FROM pg_class"
        " WHERE relnamespace = 'taskgate'::regnamespace AND relkind = 'r'"
    )
    for relation in relations:
        await connection.execute(f"ALTER TABLE {relation['name']} OWNER TO {who}")
    await connection.execute(f"ALTER SCHEMA taskgate OWNER TO {who}")
    await connection.close()
    before = await place.names(OF_OTHERS, who)  # sequences
    assert await migrate(place.url()) == known_revisions()[-1]
    assert await place.names(OF_OTHERS, who) == before


async def test_the_owner_of_a_restored_database_needs_no_right_to_make_schemas(place: Place) -> None:
    """`pg_restore` without `--create` brings no rights on the database itself."""
    await migrate(place.url(place.owner), BEFORE)
    await place.execute(f"REVOKE CREATE ON DATABASE {place.name} FROM {place.owner}")
    assert await migrate(place.url(place.owner)) == known_revisions()[-1]
