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


def owner_of(payload: Mapping[str, Any]) -> dict[str, str | None]:
    """Whose the task's nodes are: the ids that are set on them."""
    return {key: payload.get(key) or None for key in ("tenant_id", "project_id", "user_id")}
