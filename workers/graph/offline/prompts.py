"""Reads graphiti's prompts back: what stands between their tags.

The offline extractor sits where a language model would, so it is handed finished prompts. Tags of a prompt stand on
lines of their own; what an episode says cannot forge them, because the first opening and the last closing tag count,
and everything else that comes from outside is JSON or a Python literal, in which a line break is escaped.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any


def section(prompt: str, *tags: str) -> str | None:
    """The text of the first of these tags that the prompt has."""
    for tag in tags:
        opening = re.search(rf"^[ \t]*<{re.escape(tag)}>[ \t]*\n", prompt, re.MULTILINE)
        if opening is None:
            continue
        closings = list(re.finditer(rf"^[ \t]*</{re.escape(tag)}>", prompt[opening.end() :], re.MULTILINE))
        if closings:
            return prompt[opening.end() : opening.end() + closings[-1].start()].removesuffix("\n")
    return None


def data(prompt: str, tag: str, *, last: bool = True) -> Any:
    """The value of a section that holds JSON or a Python literal, None without one.

    `last`: sections that stand after the episode's text are looked for from the end, those before it from the start.
    """
    opening, closing = f"<{tag}>\n", f"\n</{tag}>"
    start = prompt.rfind(opening) if last else prompt.find(opening)
    end = prompt.find(closing, start) if start >= 0 else -1
    return literal(prompt[start + len(opening) : end].strip()) if end >= 0 else None


def json_lines(text: str | None) -> list[Any]:
    """The values of a section that holds one JSON value per line."""
    return [literal(line.strip()) for line in (text or "").splitlines() if line.strip()]


def literal(text: str) -> Any:
    """A value written as JSON or as a Python literal, None when it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def after(prompt: str, heading: str) -> Any:
    """The value that follows the last line that says `heading`."""
    position = prompt.rfind(f"{heading}\n")
    if position < 0:
        return None
    rest = prompt[position + len(heading) :].strip()
    try:
        return json.JSONDecoder().raw_decode(rest)[0]
    except ValueError:
        return None
