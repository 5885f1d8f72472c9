"""Parameters of a query that an endpoint does not have, or that it has once: under /gateway/v1 none is left unread."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Query
from pydantic import BaseModel
from starlette.requests import Request

from gateway.http.unknown_fields import LIKENESS, LONGEST_NAME

#: Of each parameter whether it may be there several times.
Parameters = Mapping[str, bool]


def parameters_of(dependant: Dependant) -> Parameters:
    """Those of an endpoint, which a model of its own may have."""
    if (model := query_model(dependant)) is not None:
        return {info.alias or name: "list[" in str(info.annotation) for name, info in model.model_fields.items()}
    fields = [field for field in get_flat_params(dependant) if isinstance(field.field_info, Query)]
    return {field.alias: "list[" in str(field.field_info.annotation) for field in fields}


def query_model(dependant: Dependant) -> type[BaseModel] | None:
    """The model that the parameters of an endpoint are read into, if there is one."""
    types = [field.field_info.annotation for field in dependant.query_params]
    return next((each for each in types if isinstance(each, type) and issubclass(each, BaseModel)), None)


def check_query(request: Request, parameters: Parameters) -> None:
    """Raises `RequestValidationError` for what the endpoint would not read."""
    query = request.query_params
    if not query:
        return
    errors = [_unknown(name, parameters) for name in query.keys() - parameters.keys()]
    errors += [
        {"type": "given_twice", "loc": ("query", name), "msg": "Given more than once", "input": None}
        for name in query.keys() & parameters.keys()
        if not parameters[name] and len(query.getlist(name)) > 1
    ]
    if errors:
        raise RequestValidationError(sorted(errors, key=lambda error: error["loc"]))


def _unknown(name: str, parameters: Parameters) -> dict[str, object]:
    like = get_close_matches(name, parameters, 1, LIKENESS) if len(name) <= LONGEST_NAME else []
    message = "There is no such field" + (f"; perhaps `{like[0]}` is meant" if like else "")
    return {"type": "unknown_parameter", "loc": ("query", name), "msg": message, "input": None}
