"""Rules that find names in English text: quoted names, addresses, and runs of capitalised words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from workers.graph.offline.text import QUOTES, Token, normalise, split_sentences
from workers.graph.offline.words import (
    CALENDAR,
    CONJUNCTIONS,
    NAME_LINKS,
    NOT_VERBS,
    OPENERS,
    ORGANIZATION_WORDS,
    PLACES,
    PRONOUNS,
    TITLES,
    VERBS,
)

#: Longer runs of capitals are headings or shouting, longer quotations are speech.
MAX_NAME_WORDS = 6
MAX_NAME_CHARS = 120


@dataclass(frozen=True, slots=True)
class Mention:
    """One place of a sentence where a name stands: the tokens from `first` up to `last` (not included)."""

    name: str
    first: int
    last: int
    kind: str
    """`capitals`, `quoted`, `address`, `speaker` or `pronoun`."""


@dataclass(slots=True)
class Sentence:
    """A sentence, the mentions in it from left to right, and who speaks it (a dialogue's `Name: …`)."""

    tokens: list[Token]
    mentions: list[Mention] = field(default_factory=list)
    speaker: str | None = None


def find_names(text: str) -> list[Sentence]:
    """The sentences of a text with the names in them; one name is spelt the same way everywhere."""
    sentences = [Sentence(tokens) for tokens in split_sentences(text)]
    inside = _capitals_inside(sentences)
    small = {token.text for sentence in sentences for token in sentence.tokens if token.text.islower()}
    speaker: str | None = None
    end = 0
    for sentence in sentences:
        sentence.mentions = _scan(sentence.tokens, inside, small)
        if end == 0 or "\n" in text[end : sentence.tokens[0].start]:
            speaker = _speaker(sentence)
        sentence.speaker = speaker
        end = sentence.tokens[-1].end
    _unify(sentences)
    return sentences


def _capitals_inside(sentences: list[Sentence]) -> set[str]:
    """Words that have a capital where no sentence begins: those are names wherever they stand."""
    return {
        token.text
        for sentence in sentences
        for token in sentence.tokens[1:]
        if token.is_capitalised and token.lower not in OPENERS
    }


def _scan(tokens: list[Token], inside: set[str], small: set[str]) -> list[Mention]:
    words = [token for token in tokens if token.kind == "word"]
    shouting = len(words) > 3 and all(token.text.isupper() or not token.text[0].isalpha() for token in words)
    mentions: list[Mention] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        found: Mention | None = None
        if token.text in QUOTES:
            found = _quoted(tokens, index)
        elif token.kind in ("email", "handle"):
            found = Mention(token.text, index, index + 1, "address")
        elif token.is_capitalised and not shouting:
            end = _run_end(tokens, index)
            found = _capitals(tokens, index, end, inside, small)
            if found is None:
                index = end
                continue
        if found is None:
            index += 1
        else:
            mentions.append(found)
            index = found.last
    return mentions


def _quoted(tokens: list[Token], start: int) -> Mention | None:
    close = QUOTES[tokens[start].text]
    for end in range(start + 1, min(start + 2 * MAX_NAME_WORDS, len(tokens))):
        if tokens[end].text != close:
            continue
        inner = tokens[start + 1 : end]
        words = [token for token in inner if token.kind == "word"]
        name = _spell(inner)
        if not words or len(words) > MAX_NAME_WORDS or len(name) > MAX_NAME_CHARS:
            return None
        if inner[-1].text in ".!?,;" or all(word.lower in OPENERS for word in words):
            return None
        return Mention(name, start, end + 1, "quoted")
    return None


def _run_end(tokens: list[Token], start: int) -> int:
    """Where the run of capitalised words that begins at `start` ends."""
    end = start + 1
    while end < len(tokens):
        token, before = tokens[end], tokens[end - 1]
        following = tokens[end + 1] if end + 1 < len(tokens) else None
        if (
            token.is_capitalised
            or (token.kind == "word" and token.text[0].isdigit() and before.is_capitalised)
            or (
                (token.text == "&" or (token.lower in NAME_LINKS and token.lower not in ("for", "y", "e")))
                and following is not None
                and following.is_capitalised
            )
            or (token.text == "." and _takes_stop(before) and following is not None and following.is_capitalised)
        ):
            end += 1
            continue
        break
    return end


def _takes_stop(token: Token) -> bool:
    return token.lower in TITLES or token.lower == "st" or (len(token.text) == 1 and token.text.isupper())


def _capitals(tokens: list[Token], start: int, end: int, inside: set[str], small: set[str]) -> Mention | None:
    first, last = start, end
    while first < last and (tokens[first].lower in OPENERS or tokens[first].lower in NAME_LINKS):
        first += 1
    while last > first and (tokens[last - 1].lower in CALENDAR or not any(c.isalpha() for c in tokens[last - 1].text)):
        if tokens[last - 1].text[0].isdigit() and last - 1 > first and tokens[last - 2].lower not in CALENDAR:
            break
        last -= 1
    words = [token for token in tokens[first:last] if token.kind == "word"]
    if not words or len(words) > MAX_NAME_WORDS or (len(words) == 1 and len(words[0].text) < 2):
        return None
    if len(words) == 1 and (words[0].lower in TITLES or words[0].lower in PRONOUNS):
        return None
    if first == 0 and len(words) == 1 and not _opens_as_name(tokens, last, words[0], inside, small):
        return None
    name = _spell(tokens[first:last])
    return Mention(name, first, last, "capitals") if len(name) <= MAX_NAME_CHARS else None


def _opens_as_name(tokens: list[Token], after: int, word: Token, inside: set[str], small: set[str]) -> bool:
    """Whether the single capitalised word that opens a sentence is a name, and not capitalised for its place."""
    if word.text in inside or any(c.isupper() or c.isdigit() for c in word.text[1:]):
        return True
    if word.lower in small or word.lower.endswith(("ing", "ly")) or word.lower in VERBS:
        return False
    if after >= len(tokens):
        return False
    following = tokens[after]
    return (
        following.text in (",", ":", "(", "'s", "’s", "&")
        or following.lower in CONJUNCTIONS
        or looks_like_verb(following)
    )


def looks_like_verb(token: Token) -> bool:
    """Whether a token has the form of a finite verb; the lists in `words` decide the irregular ones."""
    lower = token.lower
    if token.kind != "word" or (lower in NOT_VERBS and lower not in VERBS):
        return False
    if lower in VERBS:
        return True
    return token.text.islower() and len(lower) > 3 and (lower.endswith("ed") or lower.endswith("s"))


def _spell(tokens: list[Token]) -> str:
    """The text of tokens, with the spaces of the original folded."""
    parts: list[str] = []
    for position, token in enumerate(tokens):
        if position and token.start > tokens[position - 1].end:
            parts.append(" ")
        parts.append(token.text)
    return "".join(parts).strip()


def _speaker(sentence: Sentence) -> str | None:
    """The name before the colon, for the first sentence of a line of dialogue."""
    tokens, mentions = sentence.tokens, sentence.mentions
    if mentions and mentions[0].first == 0 and mentions[0].last < len(tokens) and tokens[mentions[0].last].text == ":":
        return mentions[0].name
    return None


def _unify(sentences: list[Sentence]) -> None:
    """Give each name one spelling: the commonest, and the full one for a first or last name, or a firm, cut short."""
    counts = Counter(mention.name for sentence in sentences for mention in sentence.mentions)
    spelling: dict[str, str] = {}
    for name in counts:
        key = normalise(name)
        if key not in spelling or (counts[name], name) > (counts[spelling[key]], spelling[key]):
            spelling[key] = name
    short: dict[str, set[str]] = {}
    for key in spelling:
        words = key.split()
        if len(words) > 1 and not set(words) & NAME_LINKS:
            ends = {words[0]} if words[-1] in ORGANIZATION_WORDS else {words[0], words[-1]}
            for word in ends - TITLES - {title + "." for title in TITLES}:
                short.setdefault(word, set()).add(key)
    for sentence in sentences:
        sentence.mentions = [_respell(mention, spelling, short) for mention in sentence.mentions]
        if sentence.speaker is not None:
            sentence.speaker = _full(sentence.speaker, spelling, short)


def _respell(mention: Mention, spelling: dict[str, str], short: dict[str, set[str]]) -> Mention:
    return Mention(_full(mention.name, spelling, short), mention.first, mention.last, mention.kind)


def _full(name: str, spelling: dict[str, str], short: dict[str, set[str]]) -> str:
    key = normalise(name)
    longer = short.get(key, set()) if key not in PLACES else set()
    return spelling[next(iter(longer))] if len(longer) == 1 else spelling.get(key, name)
