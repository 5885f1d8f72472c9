"""Checks definitions in the sandbox, because their authors may write anything."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gateway.dags.document import Document, parse, parse_json
from gateway.dags.errors import DagInvalid, Fault
from gateway.dags.limits import Limits
from gateway.dags.validation import Checked, SubDag, Validator, read_definition, subs_named
from gateway.errors import ApiError, InvalidRequest
from gateway.sandbox.checks import CHECK_MEGABYTES, check_apart
from gateway.sandbox.pool import Sandbox, SandboxExceeded


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a definition: YAML or JSON, or (`is_json`) only JSON."""

    text: bytes
    is_json: bool = False

    def document(self, limits: Limits) -> Document:
        """Raises `DagInvalid`, `InvalidRequest`, `TooMuchHeld`."""
        if not self.is_json:
            return parse(self.text, limit=limits.document_bytes)
        try:
            return parse_json(self.text, limit=limits.document_bytes)
        except json.JSONDecodeError as error:
            raise InvalidRequest(f"The body is not JSON: {error}") from None


class Checker:
    """Reads and checks definitions, within the limits of `gateway.sandbox.checks`."""

    def __init__(self, limits: Limits, *, processes: int = 2) -> None:
        self._limits = limits
        self._sandbox = Sandbox(processes=processes, megabytes=CHECK_MEGABYTES, preload=(__name__,))

    async def subs_named(self, source: Source) -> set[str]:
        """The DAGs that it names. Raises `DagInvalid`, `InvalidRequest`, `TooMuchHeld`."""
        return await check_apart(self._sandbox, _too_costly, _subs_named, source, self._limits)

    async def check(
        self, source: Source, name: str | None, subs: Mapping[str, SubDag], known_types: Collection[str] | None
    ) -> Checked:
        """Raises `DagInvalid` with every fault, `TooMuchHeld`; `name` is what the request calls it."""
        return await check_apart(self._sandbox, _too_costly, _check, source, name, subs, known_types, self._limits)

    async def close(self) -> None:
        await self._sandbox.close()


def _too_costly(error: SandboxExceeded) -> ApiError:
    return DagInvalid([Fault("too_large", "", f"it cannot be checked: {error}; make it smaller")])


def _subs_named(source: Source, limits: Limits) -> set[str]:
    return subs_named(read_definition(source.document(limits)))


def _check(
    source: Source,
    name: str | None,
    subs: Mapping[str, SubDag],
    known_types: Collection[str] | None,
    limits: Limits,
) -> Checked:
    document = source.document(limits)
    checked = Validator(document, read_definition(document), subs, known_types, limits).check()
    if name is not None and checked.definition.name not in (None, name):
        message = f"the document names itself {checked.definition.name!r}, the request {name!r}"
        raise DagInvalid([document.fault("name", "/name", message)])
    return checked
