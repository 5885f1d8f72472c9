"""What commands say: a result as text or as JSON, errors as one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON")]
#: Of commands that print JSON in any case.
AlwaysJson = Annotated[bool, typer.Option("--json", help="Has no effect: the result is always JSON")]


def fail(message: str, *, code: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


def json_text(answer: Any) -> str:
    return json.dumps(answer, indent=2, ensure_ascii=False)


def print_json(answer: Any) -> None:
    typer.echo(json_text(answer))


def print_result(answer: Any, text: str, *, as_json: bool) -> None:
    """The answer with `--json`, the text without."""
    print_json(answer) if as_json else typer.echo(text)


@contextmanager
def results(*, as_json: bool) -> Iterator[Callable[[Any, str], None]]:
    """Gives a function that says what became of each of several: a text at once, or with `--json` one array at the end.

    What was done is in the array also when a later one is refused.
    """
    answers: list[Any] = []

    def say(answer: Any, text: str) -> None:
        answers.append(answer)
        if not as_json:
            typer.echo(text)

    try:
        yield say
    finally:
        if as_json:
            print_json(answers)
