"""HTTP/2 is the library's: nothing fails here but what a bare servicer of the library fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import grpc
import pytest

from deploy.local.errors import PartUnavailableError
from deploy.local.h2spec import PROGRAM

SECTIONS = ("http2", "hpack")
#: Cases of these sections; and those that the library passes, at least (it closes where h2spec expects an answer).
CASES, PASSED = 100, 40


async def bare_server() -> tuple[grpc.aio.Server, int]:
    """Answers one method with what it was sent."""

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    server = grpc.aio.server()
    handlers = {"Get": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("taskgate.v1.TaskService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


async def cases(program: Path, port: int, report: Path) -> tuple[set[str], int]:
    """The cases that failed, and how many there were."""
    arguments = [*SECTIONS, "-p", str(port), "-P", "/taskgate.v1.TaskService/Get", "-o", "1", "-j", str(report)]
    process = await asyncio.create_subprocess_exec(
        str(program), *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(280):
        await process.wait()
    found = {
        f"{suite.get('package')}: {case.get('classname')}": any(
            case.find(kind) is not None for kind in ("failure", "error")
        )
        for suite in ElementTree.parse(report).getroot().iter("testsuite")
        for case in suite.iter("testcase")
    }
    return {name for name, has_failed in found.items() if has_failed}, len(found)


async def test_no_case_fails_but_what_the_library_fails(face: Any, tmp_path: Path) -> None:
    try:
        program = await PROGRAM.locate(lambda _: None)
    except PartUnavailableError as error:
        pytest.skip(str(error))
    server, port = await bare_server()
    (bare, count), (ours, tried) = await asyncio.gather(
        cases(program, port, tmp_path / "bare.xml"), cases(program, face.server.port, tmp_path / "ours.xml")
    )
    if ours - bare:  # h2spec waits for a second; on a busy machine that may be too short
        ours &= (await cases(program, face.server.port, tmp_path / "again.xml"))[0]
    await server.stop(None)
    assert count == tried >= CASES
    assert len(bare) <= count - PASSED
    assert ours - bare == set()
