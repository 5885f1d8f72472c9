"""Stores definitions. Each change is a new version; versions never change; new runs use the current one."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from gateway.audit.acts import Act, record
from gateway.dags.builtin import BUILT_IN, BuiltIn
from gateway.dags.checking import Checker, Source
from gateway.dags.definition import DagDefinition
from gateway.dags.errors import DagChanged, DagInvalid, DagNotFound, DagReserved, Fault
from gateway.dags.limits import Limits
from gateway.dags.validation import Checked, SubDag
from gateway.storage.database import Database, type_Connection
from gateway.storage.queries import Queries

SQL = Queries("gateway.dags", "store.sql")


@dataclass(frozen=True, slots=True)
class DagVersion:
    """One version of a DAG; `owner` is its tenant, '' for a built-in one."""

    owner: str
    name: str
    version: int
    definition: DagDefinition
    plan: dict[str, Any]
    digest: str
    source: str | None = None
    label: str | None = None
    created_by: str | None = None
    created_at: datetime | None = None


class DagStore:
    """Definitions by tenant and name. Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database, limits: Limits, *, known_types: Collection[str]) -> None:
        self._db = database
        self._checker = Checker(limits)
        self._built_in_types = frozenset(known_types)

    # Checking -----------------------------------------------------------------------------------------------

    async def check(
        self, tenant_id: str, source: Source, *, name: str | None = None, any_types: bool = False
    ) -> Checked:
        """Raises `DagInvalid` with every fault, `InvalidRequest` for what is not even JSON."""
        named = await self._checker.subs_named(source)
        subs = {one: sub for one in named if (sub := await self._sub(tenant_id, one)) is not None}
        return await self._checker.check(source, name, subs, None if any_types else await self.known_types())

    async def close(self) -> None:
        """End the processes that check definitions."""
        await self._checker.close()

    async def known_types(self) -> frozenset[str]:
        """Task types that some worker has, or lately had, a handler for."""
        rows = await self._db.fetch(SQL.task_types)
        return self._built_in_types | {row["task_type"] for row in rows}

    async def _sub(self, tenant_id: str, named: str) -> SubDag | None:
        name, _, wanted = named.partition("@")
        try:
            found = await self.get(tenant_id, name, wanted or None)
        except DagNotFound:
            return None
        return SubDag(found.owner, name, found.version, found.definition, found.plan["nodes"], found.plan["depth"])

    # Writing ------------------------------------------------------------------------------------------------

    async def apply(
        self,
        tenant_id: str,
        name: str,
        source: Source,
        *,
        by: str,
        label: str | None = None,
        any_types: bool = False,
        base: int | None = None,
    ) -> tuple[DagVersion, bool]:
        """Make this the version that new runs use; False when it is that already.

        `base` is the version that must be in use, 0: none. Raises `DagInvalid`, `DagReserved` (a built-in name),
        `DagChanged` (another one is in use than `base`).
        """
        if name in BUILT_IN:
            raise DagReserved(f"{name!r} is a built-in DAG; choose another name")
        checked = await self.check(tenant_id, source, name=name, any_types=any_types)
        text = None if source.is_json else source.text.decode("utf-8")
        definition, plan, digest = encode(checked)
        async with self._db.transaction() as db:
            await db.execute(SQL.add_dag, tenant_id, name)
            row = await db.fetchrow(SQL.lock_dag, tenant_id, name)
            assert row is not None
            used = row["version"] if row["retired_at"] is None else 0
            if base not in (None, used):
                raise DagChanged(f"Version {used} of {name!r} is in use, not {base}; nothing was overwritten.")
            if used:
                current = await db.fetchrow(SQL.version, tenant_id, name, row["version"])
                if current is not None and current["digest"] == digest and label in (None, current["label"]):
                    return _version(tenant_id, name, current), False
            version = row["latest"] + 1
            try:
                await db.execute(SQL.add_version, tenant_id, name, version, definition, text, plan, digest, label, by)
            except asyncpg.UniqueViolationError:
                message = f"a version of {name!r} is labelled {label!r} already"
                raise DagInvalid([Fault("label", "", message)]) from None
            await self._point(db, tenant_id, name, version)
            added = await db.fetchrow(SQL.version, tenant_id, name, version)
            assert added is not None
            was = None if row["retired_at"] is not None or not row["version"] else {"version": row["version"]}
            now = {"version": version, "label": label, "digest": digest}
            await record(db, Act("dag.apply", _subject(tenant_id, name), by, None, was, now))
        return _version(tenant_id, name, added), True

    async def roll_back(self, tenant_id: str, name: str, wanted: str, *, by: str) -> DagVersion:
        """Make an earlier version the current one. Raises `DagNotFound`."""
        found = await self.get(tenant_id, name, wanted, own=True)
        async with self._db.transaction() as db:
            row = await db.fetchrow(SQL.lock_dag, tenant_id, name)
            await self._point(db, tenant_id, name, found.version)
            was, now = {"version": row["version"]} if row is not None else None, {"version": found.version}
            await record(db, Act("dag.roll_back", _subject(tenant_id, name), by, None, was, now))
        return found

    async def retire(self, tenant_id: str, name: str, *, by: str) -> None:
        """Take a DAG out: no new runs, until it is applied or rolled back again. Raises `DagNotFound`."""
        async with self._db.transaction() as db:
            version = await db.fetchval(SQL.retire_dag, tenant_id, name)
            if version is None:
                raise DagNotFound
            await record(db, Act("dag.retire", _subject(tenant_id, name), by, None, {"version": version}))

    async def _point(self, db: type_Connection, tenant_id: str, name: str, version: int) -> None:
        await db.execute(SQL.point_dag, tenant_id, name, version)

    # Reading ------------------------------------------------------------------------------------------------

    async def list_dags(self, tenant_id: str) -> list[dict[str, Any]]:
        """The DAGs of a tenant, and the built-in ones."""
        rows = [_summary(row) for row in await self._db.fetch(SQL.list_dags, tenant_id)]
        return rows + [built_in.summary() for built_in in BUILT_IN.values()]

    async def versions(self, tenant_id: str, name: str) -> list[dict[str, Any]]:
        """Newest first, each with whether new runs use it. Raises `DagNotFound`."""
        if name in BUILT_IN:
            return [BUILT_IN[name].summary() | {"is_current": True}]
        current = await self._db.fetchrow(SQL.current, tenant_id, name)
        if current is None:
            raise DagNotFound
        used = None if current["retired_at"] is not None else current["version"]
        rows = await self._db.fetch(SQL.versions, tenant_id, name)
        return [dict(row) | {"name": name, "is_current": row["version"] == used} for row in rows]

    async def get(self, tenant_id: str, name: str, wanted: str | None = None, *, own: bool = False) -> DagVersion:
        """A version by number or label; None: the one that new runs use. Raises `DagNotFound`."""
        built_in = None if own else BUILT_IN.get(name)
        if built_in is not None:
            if wanted not in (None, str(built_in.version)):
                raise DagNotFound(f"the built-in DAG {name!r} has version {built_in.version} only")
            return await self._built_in(built_in)
        if wanted is None:
            current = await self._db.fetchrow(SQL.current, tenant_id, name)
            if current is None or current["retired_at"] is not None or not current["version"]:
                raise DagNotFound
            number = current["version"]
        elif wanted.isdecimal() and len(wanted) < 10:
            number = int(wanted)
        else:
            number = await self._db.fetchval(SQL.labelled, tenant_id, name, wanted)
        row = None if number is None else await self._db.fetchrow(SQL.version, tenant_id, name, number)
        if row is None:
            raise DagNotFound
        return _version(tenant_id, name, row)

    async def version(self, owner: str, name: str, number: int) -> DagVersion:
        """A version that some run was started with. Raises `DagNotFound`."""
        row = await self._db.fetchrow(SQL.version, owner, name, number)
        if row is None:
            raise DagNotFound
        return _version(owner, name, row)

    async def _built_in(self, built_in: BuiltIn) -> DagVersion:
        """Written down like any other, so that runs can refer to it."""
        checked = built_in.checked()
        definition, plan, digest = encode(checked)
        await self._db.execute(
            SQL.add_built_in, built_in.name, built_in.version, definition, built_in.source, plan, digest
        )
        return DagVersion(
            "", built_in.name, built_in.version, checked.definition, orjson.loads(plan), digest, built_in.source
        )


def _subject(tenant_id: str, name: str) -> str:
    return f"tenant:{tenant_id},dag:{name}"


def encode(checked: Checked) -> tuple[str, str, str]:
    """Definition, plan and digest as they are stored."""
    definition = checked.definition.model_dump(mode="json", exclude_defaults=True)
    plan = {
        "needs": checked.needs,
        "subs": {node: [sub.owner, sub.name, sub.version] for node, sub in checked.subs.items()},
        "nodes": checked.nodes,
        "depth": checked.depth,
    }
    digest = hashlib.sha256(orjson.dumps([definition, plan["subs"]], option=orjson.OPT_SORT_KEYS)).hexdigest()
    return orjson.dumps(definition).decode(), orjson.dumps(plan).decode(), digest


def _version(owner: str, name: str, row: asyncpg.Record) -> DagVersion:
    return DagVersion(
        owner,
        name,
        row["version"],
        DagDefinition.model_validate(orjson.loads(row["definition"])),
        orjson.loads(row["plan"]),
        row["digest"],
        row["source"],
        row["label"],
        row["created_by"],
        row["created_at"],
    )


def _summary(row: asyncpg.Record) -> dict[str, Any]:
    summary = {**row, "built_in": False}
    if (whole := summary.pop("whole")) is not None:
        summary["description"] = orjson.loads(whole).get("description")
    return summary


def shown(version: DagVersion) -> dict[str, Any]:
    """A version as it is answered."""
    return {
        "name": version.name,
        "version": version.version,
        "label": version.label,
        "built_in": version.owner == "",
        "digest": version.digest,
        "created_by": version.created_by,
        "created_at": version.created_at,
        "definition": version.definition.model_dump(mode="json", exclude_defaults=True),
        "source": version.source,
        "needs": version.plan["needs"],
        "subs": {node: f"{name}@{number}" for node, (_, name, number) in version.plan["subs"].items()},
        "nodes": version.plan["nodes"],
    }
