"""Hides the parts of a payload that nobody should read in a dead letter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

MARK: Final = "[redacted]"
#: How much of a payload is shown that is no JSON, or of which the beginning is shown (characters).
LONGEST_TEXT: Final = 4096

#: A value in a text that is no JSON: a string or a word, if what follows can follow a value; else the rest of the text.
_VALUE: Final = r"""
    (?P<quote>["'])(?:(?!(?P=quote))[^\\]|\\.)*(?P=quote)(?=\s*(?:,\s*(?:["']|[\w-]+\s*[:=])|[}\]]|\Z))
    | [^\s,"'{}\[\]\\]+(?=\s*(?:,\s*["']|[}\]]|\Z))
    | .+
"""

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
        names, paths = set(), []
        for rule in rules:
            if rule.startswith("$"):
                paths.append(_steps(rule))
            elif not (name := _normal(rule)):
                raise ValueError(f"{rule!r} contains no key name")
            else:
                names.add(name)
        texts = None
        if names:
            named = "|".join(r"[\W_]?".join(map(re.escape, name)) for name in sorted(names))
            texts = re.compile(
                rf"""(?P<name>(?:{named})["'\\]*\s*[:=>]\s*)(?:{_VALUE})""", re.IGNORECASE | re.DOTALL | re.VERBOSE
            )
        return cls(frozenset(names), tuple(paths), texts)

    def apply(self, value: Any) -> Any:
        """A copy of the JSON value with `MARK` in the place of what the rules name."""
        return self._walk(value, self.paths)

    def apply_to_text(self, text: str) -> str:
        """The beginning of a text that is no JSON, with what looks like a value of a named key hidden.

        `MARK` when there are paths: such a text has none.
        """
        if self.paths:
            return MARK
        cut = text[:LONGEST_TEXT]
        return cut if self._texts is None else self._texts.sub(rf"\g<name>{MARK}", cut)

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


def beginning(raw: bytes, redaction: Redaction) -> str:
    """Of a stored payload that is too large to be shown whole: JSON as text with its secrets hidden, and then cut."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return redaction.apply_to_text(raw.decode("utf-8", "backslashreplace"))
    try:
        text = json.dumps(redaction.apply(value), ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return MARK
    # Lone surrogates are escaped, as JSON has them.
    return text[:LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()


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
