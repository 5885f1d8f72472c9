"""Reads the keys of a task's payload (contract §5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class InvalidPayload(ValueError):
    """The task's payload lacks what its handler needs; another attempt would find the same."""

    non_retryable = True


def required_text(payload: Mapping[str, Any], key: str) -> str:
    """A text that must be there and not be empty. Raises `InvalidPayload`."""
    value = payload.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidPayload(f"{key} is required")
    return value


def group_ids(payload: Mapping[str, Any], key: str) -> list[str]:
    """The groups that a task works on: those of `group_ids`, else the one that stands under `key`.

    Raises `InvalidPayload`.
    """
    own = required_text(payload, key)
    groups = payload.get("group_ids")
    if groups is None:
        return [own]
    if not isinstance(groups, list) or not groups or not all(isinstance(group, str) and group for group in groups):
        raise InvalidPayload("group_ids must be a list of group ids")
    return groups


def owner_of(payload: Mapping[str, Any]) -> dict[str, str | None]:
    """Whose the task's nodes are: the ids that are set on them."""
    return {key: payload.get(key) or None for key in ("tenant_id", "project_id", "user_id")}
