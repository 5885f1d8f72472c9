"""Text cut into sentences and tokens with their positions, in linear time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest

from workers.graph.offline.words import OPENERS

#: Abbreviations that a sentence may end with.
_AT_END = frozenset({"inc", "ltd", "corp", "co", "jr", "sr", "u.s", "u.k"})
#: Quotation marks that open and close; the apostrophe is none of them.
QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "「": "」", "『": "』", "《": "》"}

_TOKEN = re.compile(
    r"(?P<email>[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})"
    r"|(?P<url>https?://[^\s<>\"”»]{1,300})"
    r"|(?P<handle>@\w{2,40})"
    r"|(?P<word>[^\W_](?:[\w]|[.&+#/](?=\w)|[-’'](?=\w))*)"
    r"|(?P<mark>\S)",
)
_ENDS = frozenset("!?。！？")
#: A sentence without an end is cut here.
MAX_SENTENCE_TOKENS = 150
_ABBREVIATIONS = frozenset(
    {"mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "inc", "ltd", "corp", "co", "vs", "e.g", "i.e", "eg", "ie"}
    | {"no", "vol", "dept", "est", "approx", "fig", "al", "u.s", "u.k"}
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `kind` is `word`, `mark`, `email`, `url` or `handle`. Positions are those of the whole text."""

    text: str
    start: int
    end: int
    kind: str

    @property
    def lower(self) -> str:
        return self.text.lower()

    @property
    def is_capitalised(self) -> bool:
        """Starts with a capital, or has one inside (iPhone), and is a word."""
        return self.kind == "word" and (self.text[0].isupper() or (not self.text.islower() and self.text[0].islower()))


def tokenize(text: str) -> list[Token]:
    """The tokens of a text; a possessive `'s` is a token of its own."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "mark"
        value, start, end = match.group(), match.start(), match.end()
        if kind == "word" and len(value) > 2 and value[-2] in "'’" and value[-1] in "sS":
            tokens.append(Token(value[:-2], start, end - 2, "word"))
            tokens.append(Token(value[-2:], end - 2, end, "mark"))
        elif kind == "url":
            value = value.rstrip(".,;:!?)")
            tokens.append(Token(value, start, start + len(value), "url"))
        else:
            tokens.append(Token(value, start, end, kind))
    return tokens


def split_sentences(text: str) -> list[list[Token]]:
    """The tokens of a text by sentence: a sentence ends at `.`, `!`, `?`, their full-width forms, or a line's end."""
    sentences: list[list[Token]] = []
    current: list[Token] = []
    previous_end = 0
    tokens = tokenize(text)
    for token, following in zip_longest(tokens, tokens[1:]):
        assert token is not None
        if current and "\n" in text[previous_end : token.start]:
            sentences.append(current)
            current = []
        current.append(token)
        previous_end = token.end
        ends = token.text in _ENDS or (token.text == "." and not _is_abbreviation(current, following))
        if ends or len(current) >= MAX_SENTENCE_TOKENS:
            sentences.append(current)
            current = []
    if current:
        sentences.append(current)
    return sentences


def _is_abbreviation(tokens: list[Token], following: Token | None) -> bool:
    """Whether the full stop that ends `tokens` belongs to the word before it, and to nothing else."""
    if len(tokens) < 2 or tokens[-2].end != tokens[-1].start or tokens[-2].kind != "word":
        return False
    word = tokens[-2].text
    if word.lower() in _AT_END and (following is None or (following.is_capitalised and following.lower in OPENERS)):
        return False
    return word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isupper())


def normalise(text: str) -> str:
    """Lower case, one space between words: two names that are equal after this are one name."""
    return " ".join(text.lower().split())


def cut_at_sentence(text: str, limit: int) -> str:
    """At most `limit` characters, cut after a sentence where one ends, else after a word."""
    if len(text) <= limit:
        return text
    head = text[:limit]
    cut = max(head.rfind(mark) for mark in (". ", "! ", "? ", ".\n", "\n"))
    if cut > limit // 3:
        return head[: cut + 1].rstrip()
    return head[: head.rfind(" ")].rstrip() if " " in head else head
