"""Entries as CloudEvents 1.0, with OCSF's API Activity (class 6003) inside. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson

OCSF_VERSION: Final = "1.3.0"
TYPE: Final = "io.taskgate.audit.v1"
_CATEGORY, _CLASS = 6, 6003
#: OCSF's activities, by how the name of an action ends; the others are `Other`.
_ACTIVITIES: Final = {
    "create": (1, "Create"),
    "add": (1, "Create"),
    "apply": (1, "Create"),
    "set": (3, "Update"),
    "change": (3, "Update"),
    "rotate": (3, "Update"),
    "tier": (3, "Update"),
    "weight": (3, "Update"),
    "flip": (3, "Update"),
    "roll_back": (3, "Update"),
    "delete": (4, "Delete"),
    "remove": (4, "Delete"),
    "clear": (4, "Delete"),
    "revoke": (4, "Delete"),
    "purge": (4, "Delete"),
    "retire": (4, "Delete"),
}
_OTHER: Final = (99, "Other")


def event_of(entry: Mapping[str, Any], source: str) -> dict[str, Any]:
    """An entry, as `AuditTrail` gives it, as a CloudEvent in its JSON format."""
    at: datetime = entry["at"]
    return {
        "specversion": "1.0",
        "id": str(entry["id"]),
        "source": source,
        "type": TYPE,
        "subject": entry["subject"],
        "time": at.isoformat(),
        "datacontenttype": "application/json",
        "data": _activity(entry, at),
    }


def _activity(entry: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    action: str = entry["action"]
    activity_id, activity = _ACTIVITIES.get(action.rpartition(".")[2], _OTHER)
    said: dict[str, Any] = {
        "category_uid": _CATEGORY,
        "category_name": "Application Activity",
        "class_uid": _CLASS,
        "class_name": "API Activity",
        "activity_id": activity_id,
        "activity_name": activity,
        "type_uid": _CLASS * 100 + activity_id,
        "severity_id": 1,
        "status_id": 1,
        "time": int(at.timestamp() * 1000),
        "message": entry["why"] or action,
        "metadata": {
            "version": OCSF_VERSION,
            "uid": str(entry["id"]),
            "product": {"name": "taskgate", "vendor_name": "taskgate"},
        },
        "actor": {"user": {"uid": entry["who"] or "unknown"}},
        "api": {"operation": action, "service": {"name": f"taskgate {entry['source']}"}},
        "src_endpoint": {"ip": entry["address"]} if entry["address"] else {"name": entry["source"]},
        "resources": [{"uid": entry["subject"], "type": entry["subject"].partition(":")[0]}],
        "unmapped": {
            "before": _text(entry["before"]),
            "after": _text(entry["after"]),
            "detail": _text(entry["detail"]),
            "hash": entry["hash"],
        },
    }
    if entry["key_id"]:
        said["actor"]["session"] = {"credential_uid": entry["key_id"]}
    if entry["request_id"]:
        said["api"]["request"] = {"uid": entry["request_id"]}
    return said


def _text(facts: Mapping[str, Any] | None) -> str | None:
    """As JSON in a string: collectors index what is unmapped by its paths, and these differ with every action."""
    return None if facts is None else orjson.dumps(facts, option=orjson.OPT_SORT_KEYS).decode()
