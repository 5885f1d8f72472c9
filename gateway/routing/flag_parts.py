"""A flag together with what it hangs on: other flags (prerequisites) and segments. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ldclient.versioned_data_kind import FEATURES, SEGMENTS

from gateway.routing.flag_document import Json
from gateway.routing.held_store import Snapshot

#: By the names that LaunchDarkly's documents have for them.
_KINDS = {"flags": FEATURES, "segments": SEGMENTS}


def reached(data: Snapshot, flag: Json) -> dict[tuple[str, str], Json]:
    """All prerequisites and segments that this flag depends on, directly or not, by `flags` or `segments` and key."""
    found: dict[tuple[str, str], Json] = {}
    waiting = [flag]
    while waiting:
        one = waiting.pop()
        keys = [("flags", required["key"]) for required in one.get("prerequisites") or []]
        keys += [("segments", key) for key in _segments_of(one)]
        for name in keys:
            if name not in found and (item := data.get(_KINDS[name[0]], {}).get(name[1])) is not None:
                found[name] = item.to_json_dict()
                waiting.append(found[name])
    return found


def document_of(data: Snapshot, flag_key: str) -> Json | None:
    """The flag and what it hangs on, as LaunchDarkly's JSON; None: there is no such flag."""
    if (item := data.get(FEATURES, {}).get(flag_key)) is None:
        return None
    flag: Json = item.to_json_dict()
    document: Json = {"flags": {flag_key: flag}, "segments": {}}
    for (kind, key), part in reached(data, flag).items():
        document[kind][key] = part
    return document


def snapshot_of(document: Mapping[str, Any]) -> Snapshot:
    """The same, as the SDK evaluates it."""
    return {kind: {key: kind.decode(item) for key, item in document[name].items()} for name, kind in _KINDS.items()}


def _segments_of(item: Json) -> Iterator[str]:
    for rule in item.get("rules") or []:
        for clause in rule["clauses"]:
            if clause["op"] == "segmentMatch":
                yield from clause["values"]
