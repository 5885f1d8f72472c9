"""The hash chain of the ledger: each hash covers an entry and the hash of the entry before it. Pure functions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

#: What the first entry stands on.
OPENING: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger, as its hash covers it. `evidence` is the JSON as it was written."""

    id: int
    at: datetime
    kind: str
    source: str
    scope: str
    before: str | None
    after: str | None
    who: str
    why: str
    version: str
    evidence: str


def hash_of(previous: bytes, entry: Entry) -> bytes:
    """The hash of an entry that follows the one with the hash `previous`."""
    fields = [
        previous.hex(),
        entry.id,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        entry.kind,
        entry.source,
        entry.scope,
        entry.before,
        entry.after,
        entry.who,
        entry.why,
        entry.version,
        entry.evidence,
    ]
    return hashlib.sha256(json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode()).digest()
