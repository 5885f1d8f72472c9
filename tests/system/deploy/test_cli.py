"""`up`, `status`, `down` as a person runs them, and tests' stacks that go when their test run goes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from deploy.local.env import NAMED_BY, read_env
from deploy.local.ports import free_port
from deploy.local.process import ManagedProcess, destroy_directory

CHECKOUT = Path(__file__).parents[3]


@pytest_asyncio.fixture
async def directory(tmp_path: Path) -> AsyncIterator[Path]:
    yield tmp_path / "local"
    await destroy_directory(tmp_path / "local")


#: `deploy.local` on a machine where another server has Redis's usual port.
TAKEN_PORT = """
import runpy
from deploy.local.ports import DEFAULT_PORTS
DEFAULT_PORTS["redis"] = {port}
runpy.run_module("deploy.local", run_name="__main__", alter_sys=True)
"""


async def run(*arguments: str, taken_port: int | None = None, **environment: str) -> tuple[int, str, str]:
    clean = {name: value for name, value in os.environ.items() if name not in NAMED_BY.values()}
    command = ("-m", "deploy.local") if taken_port is None else ("-c", TAKEN_PORT.format(port=taken_port))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command, *arguments),
        cwd=CHECKOUT,
        env={**clean, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


async def test_up_status_and_down(directory: Path) -> None:
    where = ("--dir", str(directory), "--only", "postgres,redis")
    ports = {"TASKGATE_PORT_POSTGRES": str(free_port()), "TASKGATE_PORT_REDIS": str(free_port())}

    code, output, errors = await run("up", *where, **ports)
    assert (code, errors) == (0, "")
    redis = f"redis://127.0.0.1:{ports['TASKGATE_PORT_REDIS']}/0"
    assert redis in output
    assert read_env(directory / "env")["TASKGATE_REDIS_URL"] == redis
    pid = ManagedProcess("redis", directory).record()["pid"]

    code, output, _ = await run("up", *where, **ports)
    assert code == 0
    assert "redis: already running" in output
    assert ManagedProcess("redis", directory).record()["pid"] == pid

    code, output, _ = await run("status", *where, **ports)
    assert code == 0
    assert output.count("healthy") == 2

    code, _, errors = await run("up", *where, TASKGATE_PORT_REDIS=str(free_port()))
    assert code == 1
    assert errors.startswith("error: redis: is running on port ")

    code, output, _ = await run("down", "--dir", str(directory))
    assert code == 0
    assert "redis: stopped" in output
    code, output, _ = await run("status", *where, **ports)
    assert code == 1
    assert output.count("stopped") == 2
    code, output, _ = await run("down", "--dir", str(directory))
    assert (code, "nothing was running" in output) == (0, True)


async def test_a_foreign_process_on_the_port_is_one_line(directory: Path) -> None:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as foreign:
        port = str(foreign.sockets[0].getsockname()[1])
        code, _, errors = await run("up", "--dir", str(directory), "--only", "redis", TASKGATE_PORT_REDIS=port)
    assert code == 1
    assert errors.splitlines() == [
        f"error: redis: port {port} is taken by a process that is not part of this stack; "
        "stop it or choose another port with TASKGATE_PORT_REDIS"
    ]


async def test_an_unknown_part_is_one_line(directory: Path) -> None:
    code, _, errors = await run("up", "--dir", str(directory), "--only", "kafka")
    assert code == 1
    assert errors.startswith("error: no such part: kafka; there are postgres, ")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
async def test_servers_of_a_test_run_end_with_it_however_it_ends(ending: signal.Signals) -> None:
    script = (
        "import asyncio, sys\n"
        "from deploy.local.pytest_stack import Stacks\n"
        "async def main():\n"
        "    stack = await Stacks().make({'redis'})\n"
        "    print(stack.directory, stack.part('redis').process.record()['pid'], flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script), cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE
    )
    assert run.stdout is not None
    directory, pid = (await run.stdout.readline()).decode().split()
    server = psutil.Process(int(pid))
    guardian = next(child for child in psutil.Process(run.pid).children() if "guardian" in " ".join(child.cmdline()))
    run.send_signal(ending)
    await run.wait()
    gone, alive = await asyncio.to_thread(psutil.wait_procs, [server, guardian], 30)
    assert (len(gone), alive) == (2, [])
    assert not os.path.exists(directory)  # noqa: ASYNC240 - looked at once


async def test_without_their_variables_the_ports_are_those_it_runs_on(directory: Path) -> None:
    where = ("--dir", str(directory), "--only", "redis")
    number = str(free_port())
    await run("up", *where, TASKGATE_PORT_REDIS=number)

    code, output, _ = await run("status", *where)
    assert (code, output.split()[-4:-1]) == (0, ["redis", "healthy", f"redis://127.0.0.1:{number}/0"])
    code, output, _ = await run("up", *where)
    assert (code, f"redis: already running on port {number}" in output) == (0, True)


async def test_a_second_stack_takes_free_ports_says_so_and_keeps_them(directory: Path) -> None:
    where = ("--dir", str(directory), "--only", "redis")
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        taken = foreign.getsockname()[1]
        code, output, errors = await run("up", *where, taken_port=taken)
        assert (code, errors) == (0, "")
        url = read_env(directory / "env")["TASKGATE_REDIS_URL"]
        number = url.removeprefix("redis://127.0.0.1:").removesuffix("/0")
        said = f"redis: port {taken} is taken, {number} is used instead; TASKGATE_PORT_REDIS chooses another"
        assert said in output
        await run("down", "--dir", str(directory))

        # A shell may still have the address of the server that is down: it is ours, on the port it had.
        code, output, _ = await run("up", *where, taken_port=taken, TASKGATE_REDIS_URL=url)
    assert (code, f"redis: running on port {number}" in output) == (0, True)
    assert "taken" not in output


async def test_after_a_reboot_everything_starts_again(directory: Path) -> None:
    where = ("--dir", str(directory), "--only", "postgres,redis")
    assert (await run("up", *where))[0] == 0
    pid_files = {name: ManagedProcess(name, directory) for name in ("postgres", "redis")}
    for process in pid_files.values():
        await process.kill()
        assert process.pid_file.exists()

    code, output, _ = await run("status", *where)
    assert (code, output.count("stopped")) == (1, 2)
    code, output, errors = await run("up", *where)
    assert (code, errors) == (0, "")
    assert output.count(": running on port") == 2
