"""Hides the parts of a payload that nobody should read in a dead letter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

MARK: Final = "[redacted]"
#: How much of a payload that is no JSON is shown (characters).
LONGEST_TEXT: Final = 4096

_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>\*|\d+)\]")


@dataclass(frozen=True, slots=True)
class Redaction:
    """Rules are key names (`password`), or paths (`$.user.email`, `$.items[*].note`; `*` stands for any key).

    A name holds at every depth, for a key of this name or one that ends with it (`api_key`: `x-api-key`), whatever its
    case and punctuation.
    """

    names: frozenset[str] = frozenset()
    paths: tuple[tuple[str, ...], ...] = ()
    _texts: re.Pattern[str] | None = field(default=None, compare=False)

    @classmethod
    def of(cls, rules: Iterable[str]) -> Redaction:
        """Raises `ValueError` for what is neither a name nor a path."""
        names, paths, plain = set(), [], []
        for rule in rules:
            if rule.startswith("$"):
                paths.append(_steps(rule))
            elif not (name := _normal(rule)):
                raise ValueError(f"{rule!r} contains no key name")
            else:
                names.add(name)
                plain.append("[_-]?".join(re.escape(word) for word in re.split("[_-]+", rule) if word))
        texts = None
        if plain:
            # What follows such a name in a text that is no JSON: a quoted string, or all up to the next white space.
            texts = re.compile(
                rf"""((?:{"|".join(plain)})["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s,}}]+)""",
                re.IGNORECASE,
            )
        return cls(frozenset(names), tuple(paths), texts)

    def apply(self, value: Any) -> Any:
        """A copy of the JSON value with `MARK` in the place of what the rules name."""
        return self._walk(value, self.paths)

    def apply_to_text(self, text: str) -> str:
        """The beginning of a text that is no JSON, with what looks like a value of a named key hidden."""
        cut = text[:LONGEST_TEXT]
        return cut if self._texts is None else self._texts.sub(rf"\1{MARK}", cut)

    def _walk(self, value: Any, paths: tuple[tuple[str, ...], ...]) -> Any:
        if isinstance(value, Mapping):
            return {key: self._member(str(key), item, paths) for key, item in value.items()}
        if isinstance(value, list):
            return [self._member(str(index), item, paths, is_key=False) for index, item in enumerate(value)]
        return value

    def _member(self, key: str, item: Any, paths: tuple[tuple[str, ...], ...], *, is_key: bool = True) -> Any:
        below = tuple(path[1:] for path in paths if path and path[0] in ("*", key))
        if () in below or (is_key and self._hides(key)):
            return None if item is None else MARK
        return self._walk(item, below)

    def _hides(self, key: str) -> bool:
        normal = _normal(key)
        return any(normal.endswith(name) for name in self.names)


def holds_mark(value: Any) -> bool:
    """Whether a JSON value repeats what `apply` put into it."""
    rest = [value]
    while rest:
        item = rest.pop()
        if item == MARK:
            return True
        if isinstance(item, Mapping):
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)
    return False


def shown(text: str | None, redaction: Redaction) -> Any:
    """A stored payload as people see it: JSON with its secrets hidden, else the beginning of the text.

    JSON that cannot be answered as such (lone surrogates, integers beyond 64 bits, great depth) is shown as text, too.
    """
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return redaction.apply_to_text(text)
    try:
        value = redaction.apply(value)
        orjson.dumps(value)
    except TypeError:
        return json.dumps(value)
    except RecursionError:
        return MARK
    return value


def _normal(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _steps(path: str) -> tuple[str, ...]:
    steps, at = [], 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise ValueError(f"{path!r} is not a path like $.a.b[*]")
        steps.append(step["name"] or step["index"])
        at = step.end()
    if not steps:
        raise ValueError(f"{path!r} names no part of a payload")
    return tuple(steps)
