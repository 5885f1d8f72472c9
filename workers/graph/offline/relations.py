"""Rules that find relations between the names of one sentence: subject, verb, object."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from workers.graph.offline.names import Mention, Sentence, looks_like_verb
from workers.graph.offline.text import Token
from workers.graph.offline.words import (
    AUXILIARIES,
    CLAUSE_WORDS,
    CONJUNCTIONS,
    DETERMINERS,
    NEGATIONS,
    POSSESSIVES,
    PREPOSITIONS,
)

#: Between two names that are further apart than this, no rule holds.
MAX_GAP = 12
#: More names than this in a row are a list, and not all of them are joined with all others.
MAX_GROUP = 12
_RELATIVES = frozenset({"who", "which", "that"})
_THIRD_PERSON = frozenset({"he", "she", "they", "it"})
_BREAKS = frozenset(";:—–|")
_LINKS = CONJUNCTIONS | {","}


@dataclass(frozen=True, slots=True)
class Relation:
    """`source` — `name` → `target`, and the sentence that says so in words."""

    source: str
    target: str
    name: str
    fact: str


@dataclass(frozen=True, slots=True)
class _Group:
    """Names that stand together (Alice, Bob and Carol): what is said of one is said of all."""

    names: tuple[str, ...]
    first: int
    last: int


def find_relations(sentences: Sequence[Sentence]) -> list[Relation]:
    """Every relation that a rule finds, in the order of the text, each once."""
    found: dict[tuple[str, str, str], Relation] = {}
    subject: str | None = None
    for sentence in sentences:
        mentions = _with_pronouns(sentence, subject)
        if not mentions:
            continue
        for relation in _Clauses(sentence.tokens, mentions).relations():
            if relation.source != relation.target:
                found.setdefault((relation.source, relation.name, relation.target), relation)
        subject = next((mention.name for mention in mentions if mention.kind != "speaker"), subject)
    return list(found.values())


def _with_pronouns(sentence: Sentence, subject: str | None) -> list[Mention]:
    """The mentions of a sentence, with `I` for its speaker and he, she, it or they for the last subject."""
    mentions = list(sentence.mentions)
    if mentions and sentence.speaker and mentions[0].first == 0:
        behind = sentence.tokens[mentions[0].last : mentions[0].last + 1]
        if behind and behind[0].text == ":":
            mentions = mentions[1:]
    taken = {index for mention in mentions for index in range(mention.first, mention.last)}
    before_names = min((mention.first for mention in mentions), default=len(sentence.tokens))
    for index, token in enumerate(sentence.tokens):
        if index in taken:
            continue
        if token.text == "I" and sentence.speaker:
            mentions.append(Mention(sentence.speaker, index, index + 1, "pronoun"))
        elif token.lower in _THIRD_PERSON and subject is not None and index < before_names:
            mentions.append(Mention(subject, index, index + 1, "pronoun"))
            before_names = index
    return sorted(mentions, key=lambda mention: mention.first)


class _Clauses:
    """Walks over the names of one sentence and keeps who the subject is and which verb governs."""

    def __init__(self, tokens: list[Token], mentions: list[Mention]) -> None:
        self._tokens = tokens
        self._mentions = mentions
        self._subjects: tuple[str, ...] = ()
        self._verb: list[Token] = []
        self._said: list[Token] = []
        """From the governing verb to the last name that it reached."""
        self._apposed = False
        """The last name described the subject (Bob, the CTO of Acme), and is none itself."""
        self._found: list[Relation] = []

    def relations(self) -> list[Relation]:
        previous: _Group | None = None
        opening: tuple[Token, _Group] | None = None
        for group in self._groups():
            if previous is None:
                preposition = self._tokens[group.first - 1] if group.first else None
                if preposition is not None and preposition.lower in PREPOSITIONS:
                    opening = (preposition, group)
                else:
                    self._subjects = group.names
                previous = group
                continue
            before = len(self._found)
            self._join(previous, group)
            if opening is not None and len(self._found) > before and self._verb and opening[1] is not previous:
                words = [*self._head(), opening[0]]
                self._add(self._subjects, words, opening[1].names, said=_text(words).lower())
                opening = None
            previous = group
        return self._found

    def _groups(self) -> list[_Group]:
        groups: list[_Group] = []
        governed = False
        for mention in self._mentions:
            gap = self._tokens[groups[-1].last : mention.first] if groups else []
            governed = governed or any(looks_like_verb(token) for token in gap)
            linked = bool(gap) and all(token.lower in _LINKS for token in gap)
            opened = len(groups) == 1 and groups[0].first and self._tokens[groups[0].first - 1].lower in PREPOSITIONS
            linked = linked and len(groups[-1].names) < MAX_GROUP
            if linked and not (governed and self._has_verb_after(mention)) and not (opened and gap[0].text == ","):
                groups[-1] = _Group((*groups[-1].names, mention.name), groups[-1].first, mention.last)
            else:
                groups.append(_Group((mention.name,), mention.first, mention.last))
        return groups

    def _has_verb_after(self, mention: Mention) -> bool:
        return mention.last < len(self._tokens) and looks_like_verb(self._tokens[mention.last])

    def _join(self, left: _Group, right: _Group) -> None:
        """Read what stands between two groups of names."""
        gap = self._tokens[left.last : right.first]
        apposed, self._apposed = self._apposed, False
        if len(gap) > MAX_GAP or any(token.text in _BREAKS or token.lower in CLAUSE_WORDS for token in gap):
            self._govern(right.names)
            return
        if gap and gap[0].lower in ("'s", "’s"):
            self._possessive(left, gap[1:], right)
            return
        words = [token for token in gap if token.lower not in DETERMINERS | POSSESSIVES]
        verb = next((index for index, token in enumerate(words) if looks_like_verb(token)), None)
        if verb is not None:
            lead = {token.lower for token in words[:verb]}
            goes_on = bool(self._subjects) and (bool(lead & CONJUNCTIONS) or (apposed and gap[0].text == ","))
            if not goes_on:
                self._subjects = left.names
            self._verb = words[verb:]
            self._said = self._tokens[gap.index(words[verb]) + left.last : right.last]
            self._add(self._subjects, self._verb, right.names, tail=self._tail(right))
        elif words and words[0].lower in PREPOSITIONS:
            if self._verb and words[0].lower != "of":
                self._said = [*self._said, *self._tokens[left.last : right.last]]
                said = _text(self._said[: len(self._said) - (right.last - right.first)])
                self._add(self._subjects, [*self._head(), words[0]], right.names, said=said, tail=self._tail(right))
            elif words[0].lower in ("in", "near", "at") and not self._verb:
                name = "LOCATED_" + words[0].text.upper()
                self._add(left.names, words[:1], right.names, name=name, said="is " + _text(words[:1]))
        elif len(words) > 2 and words[0].text == "," and words[-1].lower in PREPOSITIONS:
            name = "IS_" + _relation_name(words[1:])
            self._add(left.names, words[1:], right.names, name=name, said="is " + _text(gap[1:]))
            self._apposed = True
        elif not self._verb:
            self._subjects = right.names

    def _govern(self, subjects: tuple[str, ...]) -> None:
        """A clause begins, with these subjects and no verb yet."""
        self._subjects, self._verb, self._said = subjects, [], []

    def _possessive(self, left: _Group, nouns: list[Token], right: _Group) -> None:
        """Acme's CEO Carol; Acme's CEO is Carol."""
        words = [token for token in nouns if token.kind == "word" and token.lower not in AUXILIARIES | DETERMINERS]
        if 0 < len(words) <= 3 and not any(looks_like_verb(token) and token.lower.endswith("ed") for token in words):
            title = " ".join(token.text for token in words)
            for source in left.names:
                for target in right.names:
                    name = "HAS_" + _screaming(title)
                    self._found.append(Relation(source, target, name, f"{source}'s {title} is {target}"))
            self._govern(right.names)

    def _head(self) -> list[Token]:
        """The governing verb without the prepositions and nouns after it."""
        head: list[Token] = []
        for token in self._verb:
            if token.lower in PREPOSITIONS or (head and not looks_like_verb(token) and token.lower not in NEGATIONS):
                break
            head.append(token)
        return head

    def _tail(self, group: _Group) -> str:
        """What follows the last name of the sentence, when it belongs to the fact (as an engineer, since 2020)."""
        rest = self._tokens[group.last :]
        if self._mentions[-1].last != group.last or not rest or rest[0].lower not in PREPOSITIONS or len(rest) > 16:
            return ""
        return " " + _text([token for token in rest if token.text not in ".!?"])

    def _add(
        self,
        sources: Sequence[str],
        words: list[Token],
        targets: Sequence[str],
        *,
        name: str | None = None,
        said: str | None = None,
        tail: str = "",
    ) -> None:
        relation = name or _relation_name(words)
        if not relation or not words:
            return
        phrase = _text(words) if said is None else said
        for source in sources:
            for target in targets:
                self._found.append(Relation(source, target, relation, f"{source} {phrase} {target}{tail}"))


def _text(tokens: Sequence[Token]) -> str:
    return re.sub(r" ([,.;:!?)])", r"\1", " ".join(token.text for token in tokens))


def _relation_name(words: Sequence[Token]) -> str:
    """`works at` → WORKS_AT, `was founded by` → FOUNDED_BY, `is the CEO of` → IS_CEO_OF."""
    kept = [token for token in words if token.kind == "word" and token.lower not in _RELATIVES]
    while len(kept) > 1 and kept[0].lower in AUXILIARIES and any(_is_full_verb(token) for token in kept[1:2]):
        kept = kept[1:]
    kept = [token for token in kept if not (token.lower.endswith("ly") and len(token.text) > 4)] or kept
    if len(kept) > 5:
        kept = [kept[0], kept[-1]]
    return _screaming(" ".join(token.text for token in kept))


def _is_full_verb(token: Token) -> bool:
    return looks_like_verb(token) and token.lower not in AUXILIARIES


def _screaming(text: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_")
