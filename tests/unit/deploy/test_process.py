"""A child process: found again by its pid file, never mistaken for another, stopped with its descendants."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from deploy.local.errors import UnhealthyError
from deploy.local.process import Command, ManagedProcess

# Touches a file once it is ready, ends when it is told to.
READY = "import pathlib, signal, sys; pathlib.Path(sys.argv[1]).touch(); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}"
PARENT = (
    "import pathlib, signal, subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
    "pathlib.Path(sys.argv[1]).write_text(str(child.pid))\n"
    "signal.pause()\n"
)


@pytest.fixture
def process(tmp_path: Path) -> ManagedProcess:
    return ManagedProcess("thing", tmp_path / "stack")


def is_ready(file: Path, *, with_pid: bool) -> bool:
    return file.exists() and (not with_pid or file.read_text() != "")


async def started(process: ManagedProcess, script: str, ready: Path) -> psutil.Process:
    process.start(Command([sys.executable, "-c", script, str(ready)]))

    async def healthy() -> bool:
        return is_ready(ready, with_pid=script is PARENT)

    await process.wait_healthy(healthy, 20)
    found = process.find()
    assert found is not None
    return found


async def test_another_object_finds_and_stops_it(process: ManagedProcess, tmp_path: Path) -> None:
    running = await started(process, READY, tmp_path / "ready")
    other = ManagedProcess("thing", tmp_path / "stack")
    assert other.find() == running
    assert await process.stop(signal.SIGTERM, 10)
    assert other.find() is None
    assert not await other.stop(signal.SIGTERM, 10)


async def test_a_process_that_ignores_the_signal_is_killed(process: ManagedProcess, tmp_path: Path) -> None:
    running = await started(process, STUBBORN, tmp_path / "ready")
    assert await process.stop(signal.SIGTERM, 0.2)
    assert not running.is_running()


async def test_descendants_end_too(process: ManagedProcess, tmp_path: Path) -> None:
    await started(process, PARENT, tmp_path / "ready")
    child = psutil.Process(int((tmp_path / "ready").read_text()))
    await process.kill()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


async def test_pause_stops_descendants_and_resume_continues_them(process: ManagedProcess, tmp_path: Path) -> None:
    running = await started(process, PARENT, tmp_path / "ready")
    child = psutil.Process(int((tmp_path / "ready").read_text()))
    await process.pause()
    assert {running.status(), child.status()} == {psutil.STATUS_STOPPED}
    await process.resume()
    assert psutil.STATUS_STOPPED not in {running.status(), child.status()}
    await process.pause()
    assert await process.stop(signal.SIGTERM, 10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


async def test_a_pid_that_now_belongs_to_another_is_left_alone(process: ManagedProcess) -> None:
    process.pid_file.parent.mkdir(parents=True)
    process.pid_file.write_text(json.dumps({"pid": os.getpid(), "created": 1.0}))
    assert process.find() is None
    assert not await process.stop(signal.SIGTERM, 1)
    await process.kill()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"created": 1.0}'])
def test_a_broken_pid_file_is_no_process(process: ManagedProcess, text: str) -> None:
    process.pid_file.parent.mkdir(parents=True)
    process.pid_file.write_text(text)
    assert process.find() is None


async def test_who_dies_while_starting_is_quoted(process: ManagedProcess) -> None:
    process.start(Command([sys.executable, "-c", "raise SystemExit('the disk is full')"]))

    async def never() -> bool:
        return False

    with pytest.raises(UnhealthyError, match=r"thing: ended while starting: the disk is full \(log: .*thing\.log\)"):
        await process.wait_healthy(never, 20)


async def test_who_never_gets_healthy_is_given_up(process: ManagedProcess, tmp_path: Path) -> None:
    await started(process, READY, tmp_path / "ready")

    async def never() -> bool:
        return False

    with pytest.raises(UnhealthyError, match="thing: not healthy after 0 s"):
        await process.wait_healthy(never, 0.1)
    await process.kill()


async def test_the_log_of_the_last_run_is_kept(process: ManagedProcess) -> None:
    for word in ("first", "second"):
        process.start(Command([sys.executable, "-c", f"print('{word}')"]))
        ended = psutil.Process(int(process.record()["pid"]))
        psutil.wait_procs([ended], timeout=20)
    assert process.last_words() == "second"
    assert process.log_file.with_suffix(".log.1").read_text() == "first\n"
