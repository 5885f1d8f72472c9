"""One gateway leads at any time, knows when it does not any more, and writes nothing from then on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from gateway.errors import DatabaseUnavailable
from gateway.recovery import leader as module
from gateway.recovery.fenced_database import FencedDatabase, LeadershipLost
from gateway.recovery.leader import Chore, Leader, Left
from gateway.recovery.lease import LOCK_CLASS
from gateway.storage.database import Database
from workers.testing.waiting import eventually

TERM = "SELECT term FROM taskgate.leadership"
LOCK_HOLDER = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = $1::oid AND objid = ($2::bigint)::oid
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Partition:
    """A relay that can lose everything, ends of connections included, as a network does that drops packets.

    A connection on which something was lost stays half open for ever.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._writers: list[asyncio.StreamWriter] = []
        self.is_dropping = False
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection(*self._target)
        self._writers += [writer, onward_writer]
        broken = asyncio.Event()

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    if self.is_dropping:
                        broken.set()
                    if not broken.is_set():
                        sink.write(data)
                        await sink.drain()
            if not self.is_dropping and not broken.is_set():
                sink.close()

        await asyncio.gather(pump(reader, onward_writer), pump(onward_reader, writer))


@pytest_asyncio.fixture
async def partition(database_url: str) -> AsyncIterator[Partition]:
    """Before PostgreSQL."""
    address = urlsplit(database_url)
    partition = Partition(address.hostname or "", address.port or 5432)
    await partition.open()
    yield partition
    await partition.close()


@pytest_asyncio.fixture
async def distant(partition: Partition, database_url: str) -> AsyncIterator[Database]:
    """The database behind the partition."""
    address = urlsplit(database_url)
    pool = Database(database_url.replace(f"{address.hostname}:{address.port}", f"127.0.0.1:{partition.port}"))
    yield pool
    await pool.close()


class Gateway:
    """A leader with one chore, which writes its name."""

    def __init__(self, name: str, database: Database) -> None:
        self.fenced = FencedDatabase(database)
        self._name = name
        self.leader = Leader(self.fenced, lambda: name, [Chore("writing", self._write, 0.05)])

    @property
    def leads(self) -> bool:
        return self.fenced.term is not None

    async def is_leading(self) -> bool:
        return self.leads

    async def _write(self) -> None:
        await self.fenced.execute("INSERT INTO written (name) VALUES ($1)", self._name)


@pytest_asyncio.fixture
async def new_gateway(database: Database) -> Callable[[str, Database], Gateway]:
    await database.execute("CREATE TABLE written (id bigint GENERATED ALWAYS AS IDENTITY, name text)")
    return Gateway


async def writers(database: Database) -> list[str]:
    """Who wrote, in order, each once per row of its writes."""
    names = [row["name"] for row in await database.fetch("SELECT name FROM written ORDER BY id")]
    return [name for before, name in zip([None, *names], names, strict=False) if name != before]


async def cut_off(partition: Partition, database: Database) -> None:
    """The network is gone for a second; the server ends the session that is silent, as its keepalive would."""
    pid = await database.fetchval(LOCK_HOLDER, LOCK_CLASS, 2**32 + module.LEADER_KEY)
    partition.is_dropping = True
    assert await database.fetchval("SELECT pg_terminate_backend($1)", pid)


async def test_a_leader_that_was_cut_off_knows_it_and_writes_nothing_more(
    database, distant, partition, new_gateway, running
):
    first, second = new_gateway("first", distant), new_gateway("second", database)
    running(first.leader.run())
    await eventually(first.is_leading, within=10)
    running(second.leader.run())
    await eventually(lambda: database.fetchval("SELECT count(*) FROM written"), within=10)
    cut_at = asyncio.get_running_loop().time()
    await cut_off(partition, database)

    async def is_one_again() -> bool:
        partition.is_dropping = partition.is_dropping and asyncio.get_running_loop().time() < cut_at + 1
        return second.leads and not first.leads

    await eventually(is_one_again, within=5)

    async def has_written() -> bool:
        return (await writers(database))[-1] == "second"

    await eventually(has_written, within=5)
    mark = await database.fetchval("SELECT max(id) FROM written")
    await eventually(lambda: database.fetchval("SELECT count(*) >= 40 FROM written WHERE id > $1", mark), within=20)
    assert await writers(database) == ["first", "second"]
    assert not first.leads


async def test_a_leader_whose_connections_vanish_is_followed_though_the_server_never_learns_of_it(
    database, distant, partition, new_gateway, running
):
    """As behind a proxy whose other side stays open: the server keeps its session, and the lock."""
    first, second = new_gateway("first", distant), new_gateway("second", database)
    running(first.leader.run())
    await eventually(first.is_leading, within=10)
    running(second.leader.run())
    await eventually(lambda: database.fetchval("SELECT count(*) FROM written"), within=10)
    partition.is_dropping = True

    async def leads_no_more() -> bool:
        return not first.leads

    await eventually(leads_no_more, within=5)
    await eventually(second.is_leading, within=10)
    assert not first.leads
    partition.is_dropping = False
    mark = await database.fetchval("SELECT max(id) FROM written")
    await eventually(lambda: database.fetchval("SELECT count(*) >= 40 FROM written WHERE id > $1", mark), within=20)
    assert await writers(database) == ["first", "second"]


async def test_a_gateway_that_stands_by_over_a_dead_connection_leads_when_it_is_its_turn(
    database, distant, partition, new_gateway, running
):
    first, second = new_gateway("first", database), new_gateway("second", distant)
    leading = running(first.leader.run())
    await eventually(first.is_leading, within=10)
    running(second.leader.run())
    standing_by = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'taskgate leader' AND pid <> $1"
    holder = await database.fetchval(LOCK_HOLDER, LOCK_CLASS, 2**32 + module.LEADER_KEY)
    await eventually(lambda: database.fetchval(standing_by, holder), within=10)
    partition.is_dropping = True
    began = asyncio.get_running_loop().time()

    async def is_back() -> bool:
        return asyncio.get_running_loop().time() > began + 1

    await eventually(is_back, within=5)
    partition.is_dropping = False
    leading.cancel()
    await eventually(second.is_leading, within=10)


async def test_each_term_has_a_number_of_its_own(database, new_gateway, running):
    terms = []
    for name in ("first", "second", "third"):
        gateway = new_gateway(name, database)
        leading = running(gateway.leader.run())
        await eventually(gateway.is_leading, within=10)
        terms.append(gateway.fenced.term)
        assert tuple(await database.fetchrow("SELECT term, holder FROM taskgate.leadership")) == (terms[-1], name)
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)
        assert not gateway.leads
    assert terms == [1, 2, 3]


async def test_a_term_that_is_over_writes_nothing(database, new_gateway):
    """Whichever way a statement goes."""
    await database.execute("INSERT INTO taskgate.leadership (term, holder) VALUES (7, 'somebody')")
    fenced = new_gateway("late", database).fenced
    for term in (None, 6):
        fenced.term = term
        for way in (fenced.fetch, fenced.fetchrow, fenced.fetchval, fenced.execute):
            with pytest.raises(LeadershipLost):
                await way("INSERT INTO written (name) VALUES ('late') RETURNING 1")
        with pytest.raises(LeadershipLost):
            async with fenced.transaction() as db:
                await db.execute("INSERT INTO written (name) VALUES ('late')")
    fenced.term = 7
    await fenced.execute("INSERT INTO written (name) VALUES ('in time')")
    assert await writers(database) == ["in time"]


async def test_a_new_term_begins_when_no_statement_of_the_last_one_is_under_way(database, new_gateway, running):
    await database.execute("INSERT INTO taskgate.leadership (term, holder) VALUES (7, 'somebody')")
    late, next_one = new_gateway("late", database), new_gateway("next", database)
    late.fenced.term = 7
    async with late.fenced.transaction() as db:
        running(next_one.leader.run())
        waiting = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        await eventually(lambda: database.fetchval(waiting), within=10)
        await db.execute("INSERT INTO written (name) VALUES ('late')")
        assert not next_one.leads
    await eventually(next_one.is_leading, within=10)
    assert await database.fetchval(TERM) == 8
    with pytest.raises(LeadershipLost):
        await late.fenced.execute("INSERT INTO written (name) VALUES ('late')")


async def test_a_statement_that_is_never_finished_holds_no_new_term_up(database, new_gateway, running):
    """Its gateway vanished between two messages."""
    await database.execute("INSERT INTO taskgate.leadership (term, holder) VALUES (7, 'somebody')")
    late, next_one = new_gateway("late", database), new_gateway("next", database)
    late.fenced.term = 7
    with contextlib.suppress(DatabaseUnavailable):
        async with late.fenced.transaction():
            running(next_one.leader.run())
            await eventually(next_one.is_leading, within=10)
    assert await database.fetchval(TERM) == 8


async def test_a_chore_that_fails_or_hangs_keeps_no_other_from_being_done(database, running, caplog):
    done: list[str] = []

    async def hang() -> None:
        await asyncio.Event().wait()

    async def fail() -> None:
        raise ValueError("a bug")

    async def wait_for_the_database() -> None:
        raise DatabaseUnavailable

    async def leave() -> Left:
        return Left.FOR_LATER

    async def do() -> None:
        done.append("done")

    chores: list[Any] = [hang, fail, wait_for_the_database, leave, do]
    leader = Leader(FencedDatabase(database), lambda: "one", [Chore(chore.__name__, chore, 0.01) for chore in chores])
    running(leader.run())

    async def often() -> bool:
        return len(done) > 20

    await eventually(often, within=10)
    assert "fail failed; it is done again" in caplog.text
    ages = leader.ages
    youngest = ages.pop("do")
    assert min(ages.values()) > youngest, "only that one was done since the term began"
