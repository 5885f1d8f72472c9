"""Fields that a body does not have: which one may have been meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

#: How much alike (0 to 1) a field has to be: `delay` is like `delay_seconds`.
LIKENESS = 0.5
#: Longer names are no slip of a finger, and take long to compare.
LONGEST_NAME = 64


def with_hints(model: Any, errors: Sequence[Any], *, at: int = 0) -> list[Any]:
    """Pydantic's errors, in which those about unknown fields name the field that is perhaps meant.

    `model` is what was validated: a model, or a type that holds one. Its fields begin at place `at` of each `loc`.
    """
    return [_hinted(model, error, at) if error["type"] == "extra_forbidden" else error for error in errors]


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type such as `list[Model] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_of(inner)


def _hinted(model: Any, error: Any, at: int) -> Any:
    *way, name = error["loc"][at:]
    fields = _fields(model, way)
    if not fields:
        return error
    message = "There is no such field"
    if isinstance(name, str) and len(name) <= LONGEST_NAME:
        like = get_close_matches(name, fields, 1, LIKENESS)
        if like:
            message += f"; perhaps `{like[0]}` is meant"
    return {**error, "msg": message}


def _fields(model: Any, way: Sequence[Any]) -> list[str]:
    """The names of the fields of the model that `way` leads to; numbers lead to items of a list."""
    models = list(models_of(model))
    for step in way:
        if isinstance(step, str):
            fields = [each.model_fields[step].annotation for each in models if step in each.model_fields]
            models = [inner for annotation in fields for inner in models_of(annotation)]
    return [name for each in models for name in each.model_fields]
