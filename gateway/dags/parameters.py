"""Parameters of a DAG: types of values, and the values of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dags.definition import Parameter, ParameterType
from gateway.dags.document import pointer
from gateway.dags.errors import Fault

#: Types of the expression language that a parameter takes; what is not known yet is looked at when the run starts.
_KINDS = {
    ParameterType.STRING: ("STRING", "TIMESTAMP", "DURATION", "BYTES"),
    ParameterType.INTEGER: ("INT", "UINT"),
    ParameterType.NUMBER: ("INT", "UINT", "DOUBLE"),
    ParameterType.BOOLEAN: ("BOOL",),
    ParameterType.LIST: ("LIST",),
    ParameterType.OBJECT: ("MAP",),
}


def fits(value: Any, kind: ParameterType) -> bool:
    """Whether a JSON value is of a type; true and false are not numbers."""
    match kind:
        case ParameterType.STRING:
            return isinstance(value, str)
        case ParameterType.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
        case ParameterType.NUMBER:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case ParameterType.BOOLEAN:
            return isinstance(value, bool)
        case ParameterType.LIST:
            return isinstance(value, list)
        case ParameterType.OBJECT:
            return isinstance(value, dict)
        case ParameterType.ANY:
            return True


def kind_fits(kind: str, wanted: ParameterType) -> bool:
    """Whether a value of a type of the expression language may be one of the parameter's."""
    known = _KINDS.get(wanted)
    return known is None or kind.partition("<")[0].upper() in (*known, "DYN", "NULL", "NULL_TYPE")


def type_name(value: Any) -> str:
    """The type of a JSON value, as a definition names it."""
    if value is None:
        return "null"
    kinds = (kind for kind in ParameterType if kind is not ParameterType.ANY and fits(value, kind))
    return next(kinds, ParameterType.ANY).value


def bind(
    declared: Mapping[str, Parameter], given: Mapping[str, Any], place: str = "/params"
) -> tuple[dict[str, Any], list[Fault]]:
    """The values of a run: what was given, else defaults; and everything that is wrong with what was given."""
    faults = [
        Fault("unknown_parameter", pointer(place, name), f"there is no parameter {name!r}")
        for name in given
        if name not in declared
    ]
    values: dict[str, Any] = {}
    for name, parameter in declared.items():
        value = given.get(name, parameter.default)
        if value is None and (name not in given or parameter.type is not ParameterType.ANY):
            if parameter.required and parameter.default is None:
                faults.append(Fault("missing_parameter", pointer(place, name), f"parameter {name!r} must be given"))
            value = parameter.default
        elif not fits(value, parameter.type):
            faults.append(
                Fault("type_mismatch", pointer(place, name), f"{name!r} is a {parameter.type}, not {type_name(value)}")
            )
        values[name] = float(value) if parameter.type is ParameterType.NUMBER and fits(value, parameter.type) else value
    return values, faults
