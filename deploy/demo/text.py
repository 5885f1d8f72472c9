"""Names and relations of simple English sentences, and of flat JSON objects.

A name is a run of capitalised words. A relation joins the first name of a sentence with each later one by the words
between them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

#: graphiti compares each name with the others: a long text brings so many at most.
MOST_NAMES, MOST_RELATIONS = 100, 200

_TOKEN = re.compile(r"\w[\w'’&-]*|[,:;]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NO_NAMES = _words(
    "a an the this that these those and but or so yet if when while where what who why how then there here now not "
    "no yes i he she it they we you his her its their our my your in on at by for from to of with as after before "
    "since yesterday today tomorrow monday tuesday wednesday thursday friday saturday sunday january february march "
    "april may june july august september october november december"
)
_PRONOUNS = _words("i he she they it we")
_LEFT_OUT = _words("a an the his her its their our my your him them is was are were been has have had and")
_PREPOSITIONS = _words("in on at by for from to of with as near after into")
_PLACE = _words("in near")
_EMPLOYER = _words("at for joined")
_FIRMS = _words("corp corporation inc ltd gmbh company bank university robotics group")
_PERSON = _words("works work joined lives live met knows hired leads manages reports moved says said asked sends loves")


@dataclass(frozen=True, slots=True)
class Relation:
    """`source` — `name` → `target`, and the words that say so."""

    source: str
    target: str
    name: str
    fact: str


@dataclass(slots=True)
class Found:
    """What a text holds: each name with the kinds that the words around it tell, its sentences, and the relations."""

    kinds: dict[str, list[str]] = field(default_factory=dict)
    sentences: dict[str, list[str]] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)


@lru_cache(maxsize=8)
def read(content: str) -> Found:
    """Cached, because graphiti asks for the names and the relations of one episode apart."""
    found = Found()
    if (fields := _fields(content)) is not None:
        _read_fields(fields, found)
    else:
        subject = ""
        for sentence in re.split(r"(?<=[.!?])\s+|\n+", content):
            subject = _read_sentence(sentence, subject, found)
    kept = set(list(found.kinds)[:MOST_NAMES])
    found.kinds = {name: kinds for name, kinds in found.kinds.items() if name in kept}
    found.relations = [relation for relation in found.relations if {relation.source, relation.target} <= kept]
    found.relations = list(dict.fromkeys(found.relations))[:MOST_RELATIONS]
    return found


def _read_sentence(sentence: str, subject: str, found: Found) -> str:
    """Notes what a sentence holds; returns its subject, or the one before it."""
    text = " ".join(sentence.split()).rstrip(".!?")
    first, said = "", list[str]()
    for before, name in _mentions(sentence):
        if name in _PRONOUNS:
            first = first or subject
            said = []
            continue
        words = [word.lower() for word in before]
        _note(found, name, _kind(name, words), text)
        if not first:
            first = subject = name
            continue
        verb = [word for word in words if word.isalpha() and word not in _LEFT_OUT]
        if verb and not set(verb) <= _PREPOSITIONS:
            said = verb
            if said[0] in _PERSON:
                found.kinds[first].append("person")
        elif verb:
            said = [*said[:1], *verb]
        if said and first != name:
            found.relations.append(Relation(first, name, "_".join(said).upper(), text))
    return subject


def _mentions(sentence: str) -> Iterator[tuple[list[str], str]]:
    """Each name, or pronoun that stands for one, with the words since the one before it."""
    between: list[str] = []
    name: list[str] = []
    for token in [*_TOKEN.findall(sentence), ","]:
        token = re.sub(r"['’]s$", "", token)
        if token[0].isupper() and token.lower() not in _NO_NAMES:
            name.append(token)
            continue
        if name:
            yield between, " ".join(name)
            between, name = [], []
        if token.lower() in _PRONOUNS:
            yield between, token.lower()
            between = []
        else:
            between.append(token)


def _kind(name: str, before: list[str]) -> str:
    last = before[-1] if before else ""
    if last in _EMPLOYER or name.split()[-1].lower() in _FIRMS:
        return "organization"
    return "location" if last in _PLACE else last


def _fields(content: str) -> dict[str, str] | None:
    """The texts of a flat JSON object that may be names; None for anything else."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    return {key: text for key, text in document.items() if isinstance(text, str) and text[:1].isupper()}


def _read_fields(fields: dict[str, str], found: Found) -> None:
    owner = next(iter(fields.values()), "")
    for key, value in fields.items():
        fact = f"{owner}: {key} is {value}"
        _note(found, value, key.lower(), fact)
        if value != owner:
            found.relations.append(Relation(owner, value, "HAS_" + re.sub(r"\W+", "_", key).upper(), fact))


def _note(found: Found, name: str, kind: str, sentence: str) -> None:
    found.kinds.setdefault(name, []).append(kind)
    sentences = found.sentences.setdefault(name, [])
    if sentence not in sentences:
        sentences.append(sentence)
