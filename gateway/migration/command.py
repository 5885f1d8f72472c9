"""A command that a message tells an operator to run: it can be copied into a shell as it is."""

from __future__ import annotations

import shlex


def command(words: str, *arguments: str, **options: str | float | bool) -> str:
    """`taskgate <words> <arguments> --option value … --why "…"`; an option that is True has no value."""
    said = ["taskgate", *words.split(), *(shlex.quote(one) for one in arguments)]
    for name, value in options.items():
        said.append(f"--{name.replace('_', '-')}")
        if value is not True:
            said.append(shlex.quote(value if isinstance(value, str) else f"{value:g}"))
    return f'{" ".join(said)} --why "…"'
