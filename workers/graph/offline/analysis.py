"""What the rules find in one episode: names with where they stand, and relations. Works on text and on JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from workers.graph.offline.names import Mention, Sentence, find_names
from workers.graph.offline.relations import Relation, find_relations

#: The rules read this much of an episode, and report this many names and relations of it (the commonest first).
MAX_CHARS = 500_000
MAX_NAMES = 150
MAX_RELATIONS = 300

_NAME_KEYS = ("name", "full_name", "fullname", "title", "user", "username", "author", "customer", "company", "label")
_NO_NAME_KEYS = re.compile(
    r"(^|_)(id|uuid|date|time|at|status|state|type|kind|level|url|hash|token|version|locale)$", re.I
)


@dataclass(slots=True)
class Analysis:
    """The names of a text in order of appearance, where each stands, and the relations between them."""

    text: str
    occurrences: dict[str, list[tuple[Sentence, Mention]]] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)

    def sentences_about(self, name: str) -> list[str]:
        """The sentences that a name stands in."""
        found = dict.fromkeys(
            self.text[sentence.tokens[0].start : sentence.tokens[-1].end]
            for sentence, _ in self.occurrences.get(name, ())
            if sentence.tokens
        )
        return [" ".join(sentence.split()) for sentence in found]


@lru_cache(maxsize=8)
def analyse(content: str) -> Analysis:
    """Read an episode. Cached, because the pipeline asks for names and relations of one episode apart."""
    content = content[:MAX_CHARS]
    analysis = Analysis(content)
    document = _as_json(content)
    if document is None:
        sentences = find_names(content)
        for sentence in sentences:
            for mention in sentence.mentions:
                analysis.occurrences.setdefault(mention.name, []).append((sentence, mention))
        analysis.relations = find_relations(sentences)
    else:
        _read_value(document, None, "", analysis, depth=0)
    _limit(analysis)
    return analysis


def _limit(analysis: Analysis) -> None:
    if len(analysis.occurrences) > MAX_NAMES:
        common = sorted(analysis.occurrences, key=lambda name: -len(analysis.occurrences[name]))[:MAX_NAMES]
        kept = set(common)
        analysis.occurrences = {name: found for name, found in analysis.occurrences.items() if name in kept}
    analysis.relations = [
        relation
        for relation in analysis.relations
        if relation.source in analysis.occurrences and relation.target in analysis.occurrences
    ][:MAX_RELATIONS]


def _as_json(content: str) -> Any:
    head = content.lstrip()[:1]
    if head not in ("{", "["):
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _read_value(value: Any, owner: str | None, key: str, analysis: Analysis, depth: int) -> None:
    """Read one JSON value that belongs to the entity `owner` under `key`."""
    if depth > 20:
        return
    if isinstance(value, dict):
        own = next((str(value[k]) for k in _NAME_KEYS if isinstance(value.get(k), str) and _is_name(value[k])), None)
        if own is not None:
            _note(own, analysis)
            _relate(owner, key, own, analysis)
        for inner_key, inner in value.items():
            if not (own is not None and inner == own):
                _read_value(inner, own or owner, str(inner_key), analysis, depth + 1)
    elif isinstance(value, list):
        for item in value[:1000]:
            _read_value(item, owner, key, analysis, depth + 1)
    elif isinstance(value, str) and not _NO_NAME_KEYS.search(key):
        if _is_name(value):
            _note(value, analysis)
            _relate(owner, key, value, analysis)
        elif len(value.split()) > 3:
            inner_analysis = analyse(value) if not value.lstrip().startswith(("{", "[")) else Analysis(value)
            for name, found in inner_analysis.occurrences.items():
                analysis.occurrences.setdefault(name, []).extend(found)
            analysis.relations.extend(inner_analysis.relations)


def _is_name(value: str) -> bool:
    words = value.split()
    return (
        0 < len(words) <= 6
        and len(value) <= 120
        and (words[0][0].isupper() or "@" in value)
        and any(character.isalpha() for character in value)
        and not value.endswith((".", "!", "?"))
    )


def _note(name: str, analysis: Analysis) -> None:
    sentence = Sentence([])
    analysis.occurrences.setdefault(name, []).append((sentence, Mention(name, 0, 0, "field")))


def _relate(owner: str | None, key: str, target: str, analysis: Analysis) -> None:
    if owner is None or owner == target or not key:
        return
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key).replace("_", " ").replace("-", " ").lower()
    name = "HAS_" + re.sub(r"[^A-Z0-9]+", "_", words.upper()).strip("_")
    analysis.relations.append(Relation(owner, target, name, f"{owner}'s {words} is {target}"))
