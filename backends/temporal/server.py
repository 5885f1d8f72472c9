"""What a Temporal server can do in one namespace."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TemporalServer:
    """`missing_attributes`: search attributes of ours that the namespace lacks, and that we may not add."""

    version: str
    standalone: bool
    missing_attributes: tuple[str, ...]
