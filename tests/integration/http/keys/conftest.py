"""Making keys as a client does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest


@pytest.fixture
def bearer() -> Callable[[str], dict[str, str]]:
    """Headers with this key."""
    return lambda key: {"Authorization": f"Bearer {key}"}


@pytest.fixture
def make() -> Callable[..., Awaitable[dict[str, Any]]]:
    """Makes a key for t-ann to submit with, unless other fields are given: the answer."""

    async def make(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
        asked = {"name": "test", "scope": "submit", "tenant_id": "t-ann", **fields}
        answer = await client.post("/gateway/v1/keys", json=asked, headers=headers)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    return make
