"""Entities of a group whose names are near-identical. Needs a Neo4j driver, not graphiti.

The gateway asks this for the dry run of `POST /api/v1/maintenance/deduplicate` (contract §4), the handler of
`deduplicate_entities` (§7) before it merges: both see the same groups.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

#: The group id that means every group, each for itself.
ALL_GROUPS = "global"

#: graphiti's limits: shorter single words, and names of less entropy (bits a letter), are only compared exactly.
_SPECIFIC_LENGTH, _SPECIFIC_ENTROPY = 6, 1.5

_ENTITIES = """
MATCH (n:Entity)
WHERE n.name IS NOT NULL AND n.uuid IS NOT NULL AND n.group_id IS NOT NULL
  AND ($group_ids IS NULL OR n.group_id IN $group_ids)
RETURN n.group_id AS group_id, n.uuid AS uuid, n.name AS name
ORDER BY group_id, n.created_at, uuid
"""


class QueryDriver(Protocol):
    """What a plain Neo4j driver and graphiti's driver have in common."""

    @property
    def execute_query(self) -> Callable[..., Awaitable[Any]]: ...


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity as far as its name is concerned."""

    uuid: str
    name: str


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Entities that are one: `uuids` begins with the oldest, the survivor, whose name this is."""

    name: str
    count: int
    uuids: tuple[str, ...]
    group_id: str = ""


async def find_duplicate_groups(
    driver: QueryDriver, group_ids: Sequence[str], threshold: float, *, database: str | None = None
) -> list[DuplicateGroup]:
    """The duplicates of these groups, of which no two share one; `global` means all groups.

    `threshold` is the share (0 to 1) of letter triples that two names must have in common; names that differ only in
    case or spacing are always the same. `database` is the one to ask, if not the driver's own. Raises what the driver
    raises.
    """
    only = None if ALL_GROUPS in group_ids else list(group_ids)
    asked = {"database_": database} if database else {}
    result = await driver.execute_query(_ENTITIES, group_ids=only, routing_="r", **asked)
    groups: dict[str, list[Entity]] = {}
    for record in result.records:
        groups.setdefault(record["group_id"], []).append(Entity(record["uuid"], record["name"]))
    return await asyncio.to_thread(_find_all, groups, threshold)


def _find_all(groups: Mapping[str, Sequence[Entity]], threshold: float) -> list[DuplicateGroup]:
    return [found for group, entities in groups.items() for found in group_duplicates(entities, threshold, group)]


def group_duplicates(entities: Sequence[Entity], threshold: float, group_id: str = "") -> list[DuplicateGroup]:
    """Group entities, given oldest first, around the oldest of each name.

    Every member is as close to the survivor as `threshold` says, so that a chain of small differences (Anna, Anne,
    Jane) never merges its ends.
    """
    names = [_Name(entity.name) for entity in entities]
    frequency = Counter(shingle for name in names for shingle in name.shingles)
    members: dict[int, list[int]] = {}
    exact: dict[str, int] = {}
    index: defaultdict[str, list[int]] = defaultdict(list)
    for position, name in enumerate(names):
        leader = exact.get(name.exact)
        prefix = _prefix(name.shingles, frequency, threshold)
        if leader is None and name.is_specific:
            candidates = {other for shingle in prefix for other in index[shingle]}
            leader = _closest(name, names, candidates, threshold)
        if leader is not None:
            members[leader].append(position)
            exact.setdefault(name.exact, leader)
            continue
        members[position] = [position]
        exact[name.exact] = position
        if name.is_specific:
            for shingle in prefix:
                index[shingle].append(position)
    return [
        DuplicateGroup(
            entities[leader].name, len(found), tuple(entities[position].uuid for position in found), group_id
        )
        for leader, found in members.items()
        if len(found) > 1
    ]


class _Name:
    """A name in the forms that are compared."""

    __slots__ = ("exact", "is_specific", "numbers", "shingles")

    def __init__(self, name: str) -> None:
        loose = loose_form(name)
        self.exact = exact_form(name)
        self.shingles = shingles_of(loose)
        self.is_specific = is_specific(loose)
        #: Report 2023 and Report 2024 are two things, however long the rest of the name.
        self.numbers = re.findall(r"\d+", self.exact)


def _prefix(shingles: frozenset[str], frequency: Counter[str], threshold: float) -> list[str]:
    """The rarest shingles of a name: of two names that reach the threshold, these have one in common."""
    size = len(shingles)
    length = size - math.ceil(threshold * size - 1e-9) + 1
    return sorted(shingles, key=lambda shingle: (frequency[shingle], shingle))[: max(0, length)]


def _closest(name: _Name, names: Sequence[_Name], candidates: Iterable[int], threshold: float) -> int | None:
    best: tuple[float, int] | None = None
    for position in candidates:
        other = names[position]
        if other.numbers != name.numbers:
            continue
        score = likeness(name.shingles, other.shingles)
        if score >= threshold and (best is None or (score, -position) > (best[0], -best[1])):
            best = (score, position)
    return None if best is None else best[1]


# Names are compared as graphiti compares them, by functions of our own: the gateway carries no graphiti.


def exact_form(name: str) -> str:
    """Lower case, single spaces."""
    return " ".join(name.lower().split())


def loose_form(name: str) -> str:
    """Letters, digits and apostrophes. In ASCII as graphiti has it; it leaves next to nothing of another script."""
    allowed = r"[^a-z0-9' ]" if name.isascii() else r"[^\w' ]|_"
    return " ".join(re.sub(allowed, " ", exact_form(name)).split())


def shingles_of(loose: str) -> frozenset[str]:
    """The letter triples of a loose form."""
    letters = loose.replace(" ", "")
    if len(letters) < 2:
        return frozenset({letters} - {""})
    return frozenset(letters[start : start + 3] for start in range(len(letters) - 2))


def is_specific(loose: str) -> bool:
    """Whether a loose form is long and varied enough to be compared by its triples."""
    letters = Counter(loose.replace(" ", ""))
    if len(loose) < _SPECIFIC_LENGTH and " " not in loose:
        return False
    shares = [count / letters.total() for count in letters.values()]
    return -sum(share * math.log2(share) for share in shares) >= _SPECIFIC_ENTROPY


def likeness(left: frozenset[str], right: frozenset[str]) -> float:
    """The share of triples that two names have in common."""
    return len(left & right) / len(left | right) if left | right else 1.0
