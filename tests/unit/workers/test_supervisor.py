"""`workers.supervisor` over processes that say what the test wants them to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.recovery.host_process import is_alive, resident_bytes
from workers.supervisor import Child, Supervisor
from workers.testing.waiting import until

#: Says who it is in a file, is ready, and then does what the first argument says until SIGTERM.
CHILD = """
import json, math, os, signal, sys, time
from gateway.recovery.guard import clock, join_supervisor

line = join_supervisor()
with open(sys.argv[1], "a") as journal:
    journal.write(json.dumps({"pid": os.getpid(), "parent": os.getppid()}) + "\\n")
if sys.argv[2] == "dies":
    sys.exit(3)
if sys.argv[2] == "refuses" or sys.argv[2] == "refuses-when" and os.path.exists(sys.argv[3]):
    sys.exit(os.EX_CONFIG)
if sys.argv[2] == "renews":
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    signal.signal(signal.SIGALRM, lambda *_: line.extend(clock() + 0.4))
    line.extend(clock() + 0.4)
if sys.argv[2] == "eats":
    eaten = bytearray(int(sys.argv[3]))
if sys.argv[2] == "hungry":  # a signal says how much it eats; it is not ready any more once there is a file
    eaten = []
    eat = lambda number, _: eaten.append(bytearray(int(sys.argv[3 if number == signal.SIGUSR2 else 4])))
    signal.signal(signal.SIGUSR2, eat)
    signal.signal(signal.SIGHUP, eat)
    while os.path.exists(sys.argv[5]):
        time.sleep(60)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(os.EX_TEMPFAIL))
line.ready()
while True:
    time.sleep(60)
"""


class Supervised:
    """A supervisor in a process of its own, and what its children wrote down."""

    def __init__(self, directory: Path, process: asyncio.subprocess.Process) -> None:
        self.journal = directory / "journal"
        self.ready_file = directory / "ready"
        self.process = process

    @property
    def children(self) -> list[int]:
        """Every child there ever was, in order of their beginning."""
        if not self.journal.exists():
            return []
        return [json.loads(line)["pid"] for line in self.journal.read_text().splitlines()]


Start = Callable[..., Awaitable[Supervised]]


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[Supervised] = []

    async def begin(*behaviour: str, processes: int = 1, **options: Any) -> Supervised:
        supervised = Supervised(tmp_path, await _spawn(tmp_path, behaviour, processes, options))
        started.append(supervised)
        return supervised

    yield begin
    for supervised in started:
        if supervised.process.returncode is None:
            supervised.process.kill()
            await supervised.process.wait()
        await until(lambda s=supervised: not any(is_alive(pid) for pid in s.children))  # type: ignore[misc]


async def _spawn(
    directory: Path, behaviour: tuple[str, ...], processes: int, options: dict[str, Any]
) -> asyncio.subprocess.Process:
    program, log = options.pop("program", sys.executable), options.pop("log", None)
    extra = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    child = [str(program), "-c", CHILD, str(directory / "journal"), *behaviour]
    supervisor = [sys.executable, "-m", "workers.supervisor", "--processes", str(processes), "--drain", "0.1", *extra]
    command = [*supervisor, "--ready-file", str(directory / "ready"), "--", *child]
    return await asyncio.create_subprocess_exec(*command, stderr=log)


async def test_it_is_ready_when_every_process_is(start: Start) -> None:
    supervised = await start("waits", processes=3)
    await until(supervised.ready_file.exists)
    assert len(supervised.children) == 3


async def test_it_is_not_ready_because_one_before_it_was(start: Start, tmp_path: Path) -> None:
    """The volume with the file outlives the container."""
    slow = tmp_path / "slow"
    slow.touch()
    (tmp_path / "ready").touch()
    supervised = await start("hungry", "0", "0", str(slow))
    await until(lambda: supervised.children)
    assert not supervised.ready_file.exists()


async def test_what_dies_is_replaced(start: Start) -> None:
    supervised = await start("waits")
    await until(supervised.ready_file.exists)
    os.kill(supervised.children[0], signal.SIGKILL)
    await until(lambda: len(supervised.children) == 2)
    assert supervised.process.returncode is None


async def test_what_was_drained_is_not_replaced_before_a_rolling_restart(start: Start) -> None:
    supervised = await start("waits", processes=2)
    await until(supervised.ready_file.exists)
    drained, other = supervised.children
    os.kill(drained, signal.SIGUSR1)
    await until(lambda: not is_alive(drained))
    # Its own replacement would have been started before this one.
    os.kill(other, signal.SIGKILL)
    await until(lambda: len(supervised.children) == 3)
    assert supervised.process.returncode is None
    supervised.process.send_signal(signal.SIGHUP)
    await until(lambda: len(supervised.children) == 5)


async def test_it_ends_in_order_without_any_process(start: Start) -> None:
    supervised = await start("waits")
    await until(supervised.ready_file.exists)
    os.kill(supervised.children[0], signal.SIGUSR1)
    await until(lambda: not is_alive(supervised.children[0]))
    supervised.process.terminate()
    assert await supervised.process.wait() == 0
    assert len(supervised.children) == 1


async def test_what_dies_at_once_is_replaced_after_longer_and_longer_pauses(start: Start) -> None:
    supervised = await start("dies")
    began = asyncio.get_running_loop().time()
    await until(lambda: len(supervised.children) == 3)
    assert asyncio.get_running_loop().time() - began > 0.2 + 0.4


async def test_what_stands_still_past_its_deadline_is_killed(start: Start) -> None:
    supervised = await start("renews")
    await until(supervised.ready_file.exists)
    victim = supervised.children[0]
    os.kill(victim, signal.SIGSTOP)
    await until(lambda: not is_alive(victim))
    await until(lambda: len(supervised.children) == 2)


async def test_what_renews_lives(start: Start) -> None:
    supervised = await start("renews")
    await until(supervised.ready_file.exists)
    with pytest.raises(TimeoutError):
        await until(lambda: len(supervised.children) > 1, within=1.0)


async def test_sigterm_ends_everything_in_order(start: Start) -> None:
    supervised = await start("waits", processes=2)
    await until(supervised.ready_file.exists)
    supervised.process.terminate()
    assert await supervised.process.wait() == 0
    assert not any(is_alive(pid) for pid in supervised.children)


async def test_its_own_death_is_that_of_its_processes(start: Start) -> None:
    supervised = await start("waits", processes=2)
    await until(supervised.ready_file.exists)
    supervised.process.kill()
    await until(lambda: not any(is_alive(pid) for pid in supervised.children))


async def test_sighup_replaces_each_process_without_a_gap(start: Start) -> None:
    supervised = await start("waits", processes=2)
    await until(supervised.ready_file.exists)
    before = supervised.children
    supervised.process.send_signal(signal.SIGHUP)
    alive: set[int] = set()

    def replaced() -> bool:
        alive.add(sum(is_alive(pid) for pid in supervised.children))
        return len(supervised.children) == 4 and not any(is_alive(pid) for pid in before)

    await until(replaced)
    assert min(alive) >= 2
    assert supervised.process.returncode is None


async def test_what_uses_too_much_memory_is_replaced(start: Start) -> None:
    megabyte = 1 << 20
    supervised = await start("eats", str(60 * megabyte), memory=40 * megabyte)
    await until(lambda: len(supervised.children) >= 2)
    assert supervised.process.returncode is None


async def test_the_others_are_watched_while_one_is_replaced(start: Start, tmp_path: Path) -> None:
    """The new process of one place is not ready; the process of the other one eats far too much."""
    megabyte, slow = 1 << 20, tmp_path / "slow"
    portions = (str(200 * megabyte), str(400 * megabyte))
    supervised = await start("hungry", *portions, str(slow), processes=2, memory=200 * megabyte)
    await until(supervised.ready_file.exists)
    slow.touch()
    first, other = supervised.children
    os.kill(first, signal.SIGUSR2)
    await until(lambda: len(supervised.children) == 3)
    os.kill(other, signal.SIGHUP)
    await until(lambda: not is_alive(other))
    assert is_alive(first), "it goes on until the new one is ready"


async def test_what_uses_too_much_memory_is_replaced_one_after_the_other(start: Start, tmp_path: Path) -> None:
    """Else there are twice as many at once, and the memory for them is what is missing."""
    megabyte, slow = 1 << 20, tmp_path / "slow"
    limit = 100 * megabyte
    supervised = await start("hungry", str(limit), str(2 * limit), str(slow), processes=4, memory=limit)
    await until(supervised.ready_file.exists)
    slow.touch()
    *eating, other = supervised.children
    for pid in eating:
        os.kill(pid, signal.SIGUSR2)
    await until(lambda: all(resident_bytes(pid) > limit for pid in eating))
    os.kill(other, signal.SIGHUP)
    await until(lambda: not is_alive(other))  # at a look that saw all of them
    await until(lambda: len(supervised.children) >= 6)
    assert len(supervised.children) == 6, "the new one of one of them, and of the one that was killed"
    assert all(is_alive(pid) for pid in eating)


async def test_it_ends_when_its_process_says_that_it_cannot_start(start: Start) -> None:
    supervised = await start("refuses", processes=2)
    assert await asyncio.wait_for(supervised.process.wait(), 20) == os.EX_CONFIG
    assert len(supervised.children) <= 2


async def test_a_rolling_restart_keeps_a_process_whose_next_cannot_start(start: Start, tmp_path: Path) -> None:
    supervised = await start("refuses-when", str(tmp_path / "broken"))
    await until(supervised.ready_file.exists)
    (tmp_path / "broken").touch()
    supervised.process.send_signal(signal.SIGHUP)
    await until(lambda: len(supervised.children) == 2 and not is_alive(supervised.children[1]))
    (tmp_path / "broken").unlink()
    supervised.process.send_signal(signal.SIGHUP)
    await until(lambda: len(supervised.children) == 3 and not is_alive(supervised.children[0]))
    assert is_alive(supervised.children[2])


async def test_what_cannot_be_started_is_tried_again(start: Start, tmp_path: Path) -> None:
    """The system refuses it for a while, as it does when it has no memory or descriptors left."""
    program, gone = tmp_path / "program", tmp_path / "gone"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    log = tmp_path / "log"

    def failures() -> int:
        return log.read_text().count("cannot be started")

    with log.open("w") as file:
        supervised = await start("waits", processes=2, program=program, log=file)
    await until(supervised.ready_file.exists)
    first, second = supervised.children
    descriptors = f"/proc/{supervised.process.pid}/fd"
    before = len(os.listdir(descriptors))
    program.rename(gone)
    os.kill(first, signal.SIGKILL)
    await until(lambda: failures() >= 3)
    await until(lambda: len(os.listdir(descriptors)) < before)
    supervised.process.send_signal(signal.SIGHUP)
    await until(lambda: "goes on" in log.read_text())
    gone.rename(program)
    await until(lambda: len(supervised.children) == 3)
    assert is_alive(second)
    supervised.process.send_signal(signal.SIGHUP)
    await until(lambda: len(supervised.children) == 5 and not is_alive(second))


class Held(Supervisor):
    """Starts a process once `gate` is open; `asked` counts who wants one, `started` what they got."""

    def __init__(self, directory: Path) -> None:
        command = [sys.executable, "-c", CHILD, str(directory / "journal"), "waits"]
        super().__init__(command, processes=1, drain=0.1)
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0
        self.started: list[Child] = []

    async def _start(self) -> Child:
        self.asked += 1
        await self.gate.wait()
        child = await super()._start()
        self.started.append(child)
        return child


@pytest_asyncio.fixture
async def held(tmp_path: Path) -> AsyncIterator[Held]:
    supervisor = Held(tmp_path)
    running = asyncio.create_task(supervisor.run())
    await until(lambda: supervisor.started and supervisor.started[0].ready.is_set())
    yield supervisor
    supervisor.gate.set()
    supervisor._ending.set()
    async with asyncio.timeout(20):
        await running
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().remove_signal_handler(number)
    await until(lambda: not any(is_alive(child.pid) for child in supervisor.started))


async def test_what_dies_while_its_successor_is_started_has_one_successor(held: Held) -> None:
    [first] = held.started
    held.gate.clear()
    held._restart_wanted.set()
    await until(lambda: held.asked == 2)
    first.send(signal.SIGKILL)
    await until(lambda: first not in held._children)
    with contextlib.suppress(TimeoutError):
        await until(lambda: held.asked > 2, within=1.0)
    held.gate.set()
    await until(lambda: held._places[0].next is None and held._places[0].child is held.started[-1])
    assert held.asked == 2
    assert held._children == {held.started[1]}


async def test_two_replacements_at_once_are_one(held: Held) -> None:
    """A rolling restart, and one because of its memory."""
    [place], [first] = held._places, held.started
    held.gate.clear()
    both = [asyncio.create_task(held._renew(place)) for _ in range(2)]
    await until(lambda: held.asked >= 1)
    held.gate.set()
    async with asyncio.timeout(20):
        assert await asyncio.gather(*both) == [True, True]
    await until(lambda: first not in held._children)
    assert held._children == {held.started[1]}
