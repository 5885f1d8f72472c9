"""How commands say what producers pushed past the gateway."""

from __future__ import annotations

from typing import Any

from gateway.cli.text import utc


def past_gateway_line(tasks: int, set_aside: int, last_at: str | None) -> str:
    """One line; there is something to say."""
    parts = []
    if tasks:
        what = "1 task was" if tasks == 1 else f"{tasks} tasks were"
        parts.append(f"{what} pushed into redis past the gateway, and not counted above")
    if set_aside:
        what = "1 payload was" if set_aside == 1 else f"{set_aside} payloads were"
        parts.append(f"{what} set aside (taskgate dead-letter list)")
    last = f"; the last at {utc(last_at)}" if last_at else ""
    return "note: " + ", ".join(parts) + last


def note_of(found: dict[str, Any] | None) -> str | None:
    """The line for what the API says, if there is anything to say."""
    if found is None or not (found["tasks"] or found["set_aside"]):
        return None
    return past_gateway_line(found["tasks"], found["set_aside"], found["last_at"])
