"""What was looked at, how it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How something is. A warning: it works, and somebody should look."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the answer. `remedy`: what to do; None when all is well."""

    name: str
    verdict: Verdict
    told: str
    remedy: str | None = None


def ok(name: str, told: str) -> Check:
    return Check(name, Verdict.OK, told)


def warning(name: str, told: str, remedy: str) -> Check:
    return Check(name, Verdict.WARNING, told, remedy)


def failed(name: str, told: str, remedy: str) -> Check:
    return Check(name, Verdict.FAILED, told, remedy)
