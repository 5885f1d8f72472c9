"""The hash chain of the ledger: each hash covers an entry and the hash of the entry before it. Pure functions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import Any, Final

#: What the first entry stands on.
GENESIS_HASH: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry says; its number and time come with the writing. `evidence` is JSON, as it is written."""

    kind: str
    source: str
    scope: str
    before: str | None
    after: str | None
    who: str
    why: str
    version: str
    evidence: str


def evidence_text(evidence: Mapping[str, Any]) -> str:
    """The evidence of an entry as JSON."""
    return json.dumps(evidence, sort_keys=True, default=str)


def hash_of(previous: bytes, entry_id: int, at: datetime, entry: Entry) -> bytes:
    """The hash of an entry that follows the one with the hash `previous`."""
    time = at.astimezone(UTC).isoformat(timespec="microseconds")
    fields = [previous.hex(), entry_id, time, *astuple(entry)]
    return hashlib.sha256(json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode()).digest()
