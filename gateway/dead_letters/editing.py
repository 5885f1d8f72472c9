"""Checks edited payloads by the rules of submissions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from backends.redis_queue.wire import WIRE_KEYS
from gateway.access.groups import MAINTENANCE
from gateway.errors import Forbidden, InvalidRequest
from gateway.tasks.payload import encode_json
from gateway.tasks.redaction import MARK, holds_mark

#: Handlers act on them.
_PLACE_KEYS = ("group_id", "task_group_id", "tenant_id", "project_id", "user_id")


class Edit(BaseModel):
    """A corrected payload: either `payload` or `patch`. A patch does not change values that are redacted."""

    model_config = ConfigDict(extra="forbid")

    payload: Annotated[dict[str, Any] | None, Field(description="The new payload. It replaces the old one.")] = None
    patch: Annotated[
        dict[str, Any] | None,
        Field(description="Changes to the payload, as a JSON merge patch (RFC 7396): null removes a key."),
    ] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Edit:
        if (self.payload is None) == (self.patch is None):
            raise ValueError("give payload or patch")
        return self

    def apply_to(self, before: Mapping[str, Any], *, max_bytes: int) -> dict[str, Any]:
        """The payload after the edit. Raises `InvalidRequest`."""
        given = self.payload if self.payload is not None else self.patch
        if holds_mark(given):
            message = f"The edit holds {MARK}, which stands for a value that was not shown: send a patch without it."
            raise InvalidRequest(message, field="edit")
        after = dict(self.payload) if self.payload is not None else merge_patch(before, self.patch or {})
        if len(encode_json(after)) > max_bytes:
            raise InvalidRequest(f"The edited payload is larger than {max_bytes} bytes.", field="edit")
        return {key: value for key, value in after.items() if key not in WIRE_KEYS}


def merge_patch(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7396 for objects."""
    after = dict(before)
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, dict):
            inner = after.get(key)
            after[key] = merge_patch(inner if isinstance(inner, dict) else {}, value)
        else:
            after[key] = value
    return after


def place_keys(task_type: str | None) -> tuple[str, ...]:
    """The keys by which the payload of a task of this type names its place."""
    return (*_PLACE_KEYS, "group_ids") if task_type in MAINTENANCE else _PLACE_KEYS


def check_place(after: Mapping[str, Any], before: Mapping[str, Any], place: Mapping[str, Any]) -> None:
    """Raises `Forbidden` for a payload with another placement than the task's, or than it had before."""
    for key in place_keys(place["task_type"]):
        own = None if key == "group_ids" else place["group_id" if key == "task_group_id" else key]
        if after.get(key) not in (None, own, before.get(key)):
            raise Forbidden(f"payload.{key} does not belong to this task")


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of the members that an edit changed, without their values."""
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
