"""Demo tenants for the embedded stack, with keys that stay the same when they are seeded again."""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path

import asyncpg

from gateway.storage.database import connect
from gateway.storage.driver_errors import translated
from gateway.storage.queries import Queries

SQL = Queries("gateway.storage.schema", "seed.sql")

#: Name and plan of the demo tenants.
TENANTS = {"acme": "enterprise", "globex": "vip", "initech": "standard", "umbrella": "standard"}

_KEY = re.compile(r"^(?:export )?(TASKGATE_(?:ADMIN_KEY|KEY_\w+))=[\"']?(ms_sk_[0-9a-f]{64})[\"']?\s*$", re.MULTILINE)


def new_key() -> str:
    """A key in the format of contract §1."""
    return f"ms_sk_{secrets.token_hex(32)}"


def read_keys(file: Path | None) -> dict[str, str]:
    """The keys in an env file; empty when there is none."""
    if file is None or not file.is_file():
        return {}
    return dict(_KEY.findall(file.read_text(encoding="utf-8")))


async def seed(database_url: str, keys: dict[str, str] | None = None) -> dict[str, str]:
    """Create what is missing, and return the environment that names it. Raises `DatabaseUnavailable`."""
    keys = keys or {}
    found: dict[str, str] = {}
    with translated():
        connection = await connect(database_url)
        try:
            async with connection.transaction():
                await connection.execute(SQL.role)
                found["TASKGATE_ADMIN_KEY"] = await _user(connection, "admin", keys.get("TASKGATE_ADMIN_KEY"))
                await connection.execute(SQL.administrator)
                for name, plan in TENANTS.items():
                    variable = f"TASKGATE_KEY_{name.upper()}"
                    found[variable] = await _user(connection, name, keys.get(variable))
                    found[f"TASKGATE_PROJECT_{name.upper()}"] = await _tenant(connection, name, plan)
        finally:
            await connection.close()
    return found


async def _user(connection: asyncpg.Connection, name: str, key: str | None) -> str:
    key = key or new_key()
    digest = hashlib.sha256(key.encode()).hexdigest()
    await connection.execute(SQL.user_row, f"user-{name}", f"{name}@demo.example", name.title())
    await connection.execute(SQL.key, f"key-{name}", digest, f"user-{name}")
    return key


async def _tenant(connection: asyncpg.Connection, name: str, plan: str) -> str:
    user, project = f"user-{name}", f"{name}-project"
    await connection.execute(SQL.tenant, name, name.title(), user, plan)
    await connection.execute(SQL.tenant_owner, user, name)
    await connection.execute(SQL.project, project, name, f"{name.title()} memories", user)
    await connection.execute(SQL.project_owner, user, project)
    return project
