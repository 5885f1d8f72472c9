"""What guardrails tell by a webhook: it goes through the outbox of callbacks, signed with the operators' own secret."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import orjson

from gateway.migration.guardrails.event import TOLD, GuardrailEvent
from gateway.migration.guardrails.store import SQL
from gateway.storage.database import type_Connection


class Webhook:
    """`url` None: nobody is told."""

    def __init__(self, url: str | None) -> None:
        self._url = url

    async def tell(self, db: type_Connection, events: Iterable[GuardrailEvent]) -> None:
        """Part of the transaction in which it happened: it is told exactly when that is committed."""
        if self._url is None:
            return
        for one in events:
            if one.kind in TOLD:
                await db.execute(SQL.add_delivery, self._url, _body(one))


def _body(event: GuardrailEvent) -> str:
    data = {
        "tenant_id": event.tenant_id,
        "why": event.why,
        "who": event.who or None,
        "evidence": event.evidence,
    }
    timestamp = datetime.now(UTC).isoformat()
    return orjson.dumps({"type": f"guardrail.{event.kind}", "timestamp": timestamp, "data": data}).decode()
