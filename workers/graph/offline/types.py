"""Which of a project's entity types a name belongs to, judged by the words in it and around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from workers.graph.offline.names import Mention, Sentence
from workers.graph.offline.text import normalise
from workers.graph.offline.words import (
    DETERMINERS,
    EVENT_WORDS,
    LOCATION_WORDS,
    ORGANIZATION_WORDS,
    PERSON_VERBS,
    PLACE_PREPOSITIONS,
    PLACE_VERBS,
    PLACES,
    TITLES,
    WORK_PHRASES,
)

#: Names that people give to the types this module can tell apart.
_ALIASES = {
    "person": ("person", "people", "human", "individual", "contact"),
    "organization": ("organization", "organisation", "company", "institution", "business"),
    "location": ("location", "place", "city", "geography"),
    "event": ("event",),
    "artifact": ("artifact", "artefact", "product", "object", "document", "work"),
}

Occurrence = tuple[Sentence, Mention]


def classify(name: str, occurrences: Iterable[Occurrence], types: Mapping[str, int]) -> int:
    """The id of the type, 0 (a plain entity) when no rule decides. `types` maps lower-case type names to ids."""
    seen = list(occurrences)[:5]
    for sentence, mention in seen:
        before = [token.lower for token in sentence.tokens[max(0, mention.first - 3) : mention.first]]
        for word in reversed(before):
            if word in types and word != "entity":
                return types[word]
            if word not in DETERMINERS and word not in ("of", "called", "named", ","):
                break
    kind = _kind(name, seen)
    return next((types[alias] for alias in _ALIASES.get(kind, ()) if alias in types), 0)


def _kind(name: str, occurrences: list[Occurrence]) -> str:
    words = normalise(name).replace(".", "").split()
    if not words:
        return ""
    if normalise(name) in PLACES:
        return "location"
    if "@" in name or words[0] in TITLES or any(mention.kind == "speaker" for _, mention in occurrences):
        return "person"
    for vocabulary, kind in (
        (ORGANIZATION_WORDS, "organization"),
        (EVENT_WORDS, "event"),
        (LOCATION_WORDS, "location"),
    ):
        if len(words) > 1 and (words[-1] in vocabulary or (words[0] in vocabulary and words[1] == "of")):
            return kind
    for sentence, mention in occurrences:
        found = _by_surroundings(sentence, mention)
        if found:
            return found
    return "artifact" if any(mention.kind == "quoted" for _, mention in occurrences) else ""


def _by_surroundings(sentence: Sentence, mention: Mention) -> str:
    tokens = sentence.tokens
    before = [
        token.lower for token in tokens[max(0, mention.first - 4) : mention.first] if token.lower not in DETERMINERS
    ]
    after = tokens[mention.last].lower if mention.last < len(tokens) else ""
    if mention.kind != "quoted" and (sentence.speaker == mention.name or after in PERSON_VERBS):
        return "person"
    if " ".join(before[-2:]) in WORK_PHRASES or (before and before[-1] in WORK_PHRASES):
        return "organization"
    if before and before[-1] in PLACE_PREPOSITIONS and set(before[:-1]) & PLACE_VERBS:
        return "location"
    if before and before[-1] in ("met", "by", "hired", "married", "introduced"):
        return "person"
    return ""
