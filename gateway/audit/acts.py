"""Administrative changes and bulk actions in the record: who, what, before, after, why, and by which request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.access.verbs import ASKED
from gateway.audit.chain import Entry, evidence_text
from gateway.audit.writer import AnyConnection, append_entry
from gateway.observability.logs import field_of_log


@dataclass(frozen=True, slots=True)
class Act:
    """A change that somebody made.

    `action`: what was done, as `quota.set`. `subject`: to what, as `tenant:acme`. `before` and `after`: what changed;
    None where there was nothing, or is nothing any more. `detail`: what else there is to say. None of them holds keys,
    secrets or payloads.
    """

    action: str
    subject: str
    who: str
    why: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    source: str = "gateway"
    """Of a change that no request asks for: `gateway`, or `command`."""


async def record(connection: AnyConnection, act: Act) -> int:
    """Write an entry for the change, as part of its transaction, last of all; its id.

    The request that is being answered is noted with it: its id, the face, the client's address and the key.
    Raises `LedgerUnwritable`, `DatabaseUnavailable`: the change must not be made then.
    """
    asked = ASKED.get(None)
    evidence: dict[str, Any] = dict(act.detail)
    if asked is not None:
        request = {"request_id": field_of_log("request_id"), "address": asked.address, "key_id": asked.key_id}
        evidence["request"] = {name: value for name, value in request.items() if value}
    source = act.source if asked is None else asked.face
    before, after = (None if facts is None else evidence_text(facts) for facts in (act.before, act.after))
    who, why = act.who, act.why or ""
    entry = Entry(act.action, source, act.subject, before, after, who, why, "", evidence_text(evidence))
    return await append_entry(connection, entry)
