"""What guardrails tell by a webhook: it goes through the outbox of callbacks, signed with the operators' own secret."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import orjson

from gateway.migration.guardrails.happening import TOLD, Happening
from gateway.migration.guardrails.store import SQL
from gateway.storage.database import type_Connection


class Webhook:
    """`url` None: nobody is told."""

    def __init__(self, url: str | None) -> None:
        self._url = url

    async def tell(self, db: type_Connection, happenings: Iterable[Happening]) -> None:
        """Part of the transaction in which it happened: it is told exactly when that is committed."""
        if self._url is None:
            return
        for one in happenings:
            if one.kind in TOLD:
                await db.execute(SQL.add_delivery, self._url, _body(one))


def _body(happening: Happening) -> str:
    data = {
        "tenant_id": happening.tenant_id,
        "why": happening.why,
        "who": happening.who or None,
        "evidence": happening.evidence,
    }
    timestamp = datetime.now(UTC).isoformat()
    return orjson.dumps({"type": f"guardrail.{happening.kind}", "timestamp": timestamp, "data": data}).decode()
