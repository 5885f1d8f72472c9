"""Every command of `taskgate` that a page or a message names is one, with the options and arguments that it takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.parsing import UsageError, command_of, parses
from tests.unit.docs.test_links import PAGES, ROOT

#: A line at a prompt, with those that continue it.
_LINE = re.compile(r"^ *(?:\$ |    (?=taskgate ))((?:.*\\\n)*.*)", re.MULTILINE)
_INLINE = re.compile(r"`taskgate ([a-z][a-z -]*)")


def lines(text: str) -> Iterator[list[str]]:
    """The words after each `taskgate` at a prompt."""
    for found in _LINE.finditer(text):
        line = re.sub(r"\\\n>? ?", " ", found[1])
        if not re.match(r"(\w+=\S+ )*taskgate ", line):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        lexer.commenters = "#"
        words: list[str] = []
        for word in [*lexer, ";"]:
            if re.fullmatch(r"[;|&<>]+", word):
                if "taskgate" in words:
                    yield words[words.index("taskgate") + 1 :]
                words = [] if word not in (">", "<") else ["redirected"]
            else:
                words.append(word)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_at_a_prompt_parse(page: Path) -> None:
    for words in lines(page.read_text(encoding="utf-8")):
        if words[0] not in ("serve", "-h", "--help"):
            parses(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_text_are_there(page: Path) -> None:
    for found in _INLINE.finditer(page.read_text(encoding="utf-8")):
        command_of(found[1].split())


@pytest.mark.parametrize("room", ["gateway", "workers", "backends", "deploy"])
def test_commands_in_messages_are_there(room: str) -> None:
    for file in (ROOT / room).rglob("*.py"):
        for found in _INLINE.finditer(file.read_text(encoding="utf-8")):
            command_of(found[1].split())


def test_what_is_no_command_is_found() -> None:
    shown = "$ taskgate task shwo ID\n$ A=1 taskgate task list --stat failed   # why\n$ taskgate workers > file\n"
    first, second, third = lines(shown)
    with pytest.raises(LookupError, match="shwo"):
        parses(first)
    with pytest.raises(UsageError, match="--stat"):
        parses(second)
    assert third == ["workers"]
