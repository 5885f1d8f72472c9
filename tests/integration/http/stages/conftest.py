"""`/gateway/v1/migration/stages`: the one way to change a flag, with real gateways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.storage.database import Database

PATH = "/gateway/v1/migration/stages"
KEY = "task-backend"
ANN = {"tenant_id": "t-ann", "stage": "live", "why": "pilot", "based_on": 0}


@pytest.fixture
async def door(serve: Callable[..., Any], admin: dict[str, str]) -> Any:
    """An administrator's client of a gateway whose flag is in the database."""
    async with serve() as (client, _):
        client.headers.update(admin)
        yield client


async def flips(database: Database, scope: str = "tenant:t-ann") -> list[tuple[Any, ...]]:
    """The entries of the ledger about this scope."""
    rows = await database.fetch(
        "SELECT source, scope, before, after, who, why, version FROM taskgate.ledger WHERE scope = $1 ORDER BY id",
        scope,
    )
    return [tuple(row) for row in rows]
