"""Filters that several commands have: each is an option, and a command gets those that are given in one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter
from typing import Any

Command = Callable[..., None]
#: What was given, as the API names it.
Which = dict[str, Any]


def takes(filters: Mapping[str, tuple[str, Any]], *, without: tuple[str, ...] = ()) -> Callable[[Command], Command]:
    """Give a command these options in the place of its parameter `which`.

    `filters` are API name and annotated type, by the name of the parameter; `without` are those that it does not take.
    """
    taken = {name: option for name, option in filters.items() if name not in without}

    def parameters(of: inspect.Signature) -> Iterator[Parameter]:
        for parameter in of.parameters.values():
            if parameter.name != "which":
                yield parameter
                continue
            for name, (_, annotation) in taken.items():
                yield Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            values = {api_name: given.pop(name) for name, (api_name, _) in taken.items()}
            command(**given, which={name: value for name, value in values.items() if value not in (None, [])})

        signature = inspect.signature(command, eval_str=True)
        run.__signature__ = signature.replace(parameters=list(parameters(signature)))  # type: ignore[attr-defined]
        return run

    return decorate
