"""Reads and checks plans in the sandbox: a parser of YAML that is written in C keeps the interpreter's lock."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.dags.document import json_data
from gateway.dags.errors import DagInvalid, Fault
from gateway.errors import ApiError, InvalidRequest
from gateway.migration.plans.document import MOST_BYTES, Plan, read_plan
from gateway.migration.plans.errors import PlanInvalid
from gateway.migration.plans.validation import Checked, World, check_plan
from gateway.sandbox.checks import check_apart
from gateway.sandbox.pool import Sandbox, SandboxExceeded

#: Stored plans that a gateway remembers.
_REMEMBERED: Final = 32


@dataclass(frozen=True, slots=True)
class Written:
    """The text of a plan as it came: YAML or JSON, or (`is_json`) only JSON."""

    text: bytes
    is_json: bool = False

    @classmethod
    def of(cls, text: str) -> Written:
        """What came as text."""
        return cls(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Read:
    """A plan that fits the schema. `text`: as it is stored; JSON is written anew, because YAML knows not all of its
    escapes."""

    text: str
    plan: Plan


class PlanChecker:
    """Every method raises `TooMuchHeld` and, for a plan that costs too much, `PlanInvalid`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._stored: OrderedDict[str, Plan] = OrderedDict()

    async def stored(self, text: str) -> Plan:
        """The plan of a stored text; the last ones are remembered, because the leader asks each second.

        Raises `PlanInvalid` for what only an older release took.
        """
        plan = self._stored.pop(text, None)
        if plan is None:
            plan = await check_apart(self._sandbox, _too_costly, _plan, text)
        self._stored[text] = plan
        if len(self._stored) > _REMEMBERED:
            self._stored.popitem(last=False)
        return plan

    async def read(self, written: Written) -> Read:
        """Raises `PlanInvalid` with everything that does not fit the schema, `InvalidRequest` for what is no text."""
        if len(written.text) > MOST_BYTES:
            raise InvalidRequest(f"A plan has {MOST_BYTES} bytes at most.")
        return await check_apart(self._sandbox, _too_costly, _read, written)

    async def check(self, text: str, world: World, name: str | None) -> Checked:
        """Whom the waves move. Raises `PlanInvalid` with every fault; `name`: what it is to call itself."""
        return await check_apart(self._sandbox, _too_costly, _check, text, world, name)


def _too_costly(error: SandboxExceeded) -> ApiError:
    return PlanInvalid([Fault("too_large", "", f"it cannot be checked: {error}; make it smaller")])


def _read(written: Written) -> Read:
    try:
        text = (orjson.dumps(json_data(written.text)) if written.is_json else written.text).decode()
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"The plan is not JSON: {error}") from None
    except DagInvalid as error:
        raise PlanInvalid(error.faults) from None
    except UnicodeDecodeError:
        raise InvalidRequest("The plan is not UTF-8.") from None
    return Read(text, read_plan(text)[1])


def _plan(text: str) -> Plan:
    return read_plan(text)[1]


def _check(text: str, world: World, name: str | None) -> Checked:
    """A document stays here: the places of its parts are many."""
    document, plan = read_plan(text)
    if name is not None and plan.name != name:
        raise PlanInvalid([document.fault("name", "/name", f"the plan calls itself {plan.name}, not {name}")])
    return check_plan(document, plan, world)
