"""Dates that a sentence states, and what they say of its fact: when it began, when it ended."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from workers.graph.offline.words import MONTHS

_NAMES = "|".join(sorted(MONTHS, key=len, reverse=True))
_DATE = re.compile(
    rf"\b(?:(?P<iso>\d{{4}}-\d{{2}}-\d{{2}})"
    rf"|(?P<m1>{_NAMES})\.? (?P<d1>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<y1>\d{{4}})"
    rf"|(?P<d2>\d{{1,2}})(?:st|nd|rd|th)? (?P<m2>{_NAMES})\.?,? (?P<y2>\d{{4}})"
    rf"|(?P<m3>{_NAMES})\.?,? (?P<y3>\d{{4}})"
    rf"|(?P<y4>(?:1[5-9]|20)\d{{2}}))\b",
    re.IGNORECASE,
)
_RELATIVE = {
    "today": timedelta(0),
    "yesterday": timedelta(days=1),
    "last week": timedelta(weeks=1),
    "last month": timedelta(days=30),
    "last year": timedelta(days=365),
}
_UNTIL = re.compile(r"\b(?:until|till|through|to)\s+$", re.IGNORECASE)


def find_bounds(fact: str, reference: datetime | None) -> tuple[str | None, str | None]:
    """When a fact became true and when it ended, as ISO 8601 in UTC.

    Without a stated date a fact is true from `reference` on, which is when it was said.
    """
    if reference is not None and reference.tzinfo is None:
        reference = reference.replace(tzinfo=UTC)
    valid: datetime | None = None
    invalid: datetime | None = None
    for match in _DATE.finditer(fact[:1000]):
        moment = _moment(match)
        if moment is None:
            continue
        if _UNTIL.search(fact[max(0, match.start() - 12) : match.start()]):
            invalid = invalid or moment
        else:
            valid = valid or moment
    if valid is None and reference is not None:
        lower = fact.lower()
        valid = next((reference - ago for words, ago in _RELATIVE.items() if words in lower), None)
        if valid is None and (invalid is None or invalid > reference):
            valid = reference
    return _iso(valid), _iso(invalid)


def _moment(match: re.Match[str]) -> datetime | None:
    groups = match.groupdict()
    try:
        if groups["iso"]:
            return datetime.fromisoformat(groups["iso"]).replace(tzinfo=UTC)
        for month, day, year in (("m1", "d1", "y1"), ("m2", "d2", "y2"), ("m3", None, "y3")):
            if groups[month]:
                number = int(groups[day]) if day else 1
                return datetime(int(groups[year]), MONTHS[groups[month].lower()], number, tzinfo=UTC)
        return datetime(int(groups["y4"]), 1, 1, tzinfo=UTC)
    except ValueError:
        return None


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
