"""HTTP/2 is the library's: nothing fails here but what a bare servicer of the library fails."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import grpc
import pytest

from deploy.local.h2spec import PROGRAM
from gateway.rpc.server import MOST_STREAMS

pytestmark = pytest.mark.system

#: These are tried beside each other: most of the time h2spec waits for an answer that does not come.
#: The long ones are tried case by case.
CHAPTERS = (
    *(
        "http2/3",
        "http2/4",
        "http2/5.1.1",
        "http2/5.1.2",
        "http2/5.3",
        "http2/5.4",
        "http2/5.5",
        "http2/6.1",
        "http2/6.2",
    ),
    *("http2/6.3", "http2/6.4", "http2/6.5", "http2/6.7", "http2/6.8", "http2/6.9", "http2/6.10", "http2/7"),
    *("http2/8.1/1", "http2/8.1.2/1", "http2/8.1.2.1", "http2/8.1.2.2", "http2/8.1.2.6", "http2/8.2"),
    *("hpack/2", "hpack/4", "hpack/5", "hpack/6"),
    *(f"http2/5.1/{case}" for case in range(1, 14)),
    *(f"http2/8.1.2.3/{case}" for case in range(1, 8)),
)
#: Cases of these chapters; and those that the library passes, at least (it closes where h2spec expects an answer).
CASES, PASSED = 100, 40
#: h2spec waits for a second, and some cases race in the library itself: a fault of ours fails this many times.
TRIES = 3


async def bare_server() -> tuple[grpc.aio.Server, int]:
    """Answers one method with what it was sent."""

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    # Without a limit of streams h2spec would skip a case, which takes long on a busy machine.
    server = grpc.aio.server(options=[("grpc.max_concurrent_streams", MOST_STREAMS)])
    handlers = {"Get": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("taskgate.v1.TaskService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


async def cases(program: Path, port: int, chapter: str, report: Path) -> dict[str, bool]:
    """Whether each case failed."""
    arguments = [chapter, "-p", str(port), "-P", "/taskgate.v1.TaskService/Get", "-o", "1", "-j", str(report)]
    process = await asyncio.create_subprocess_exec(
        str(program), *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(280):
        await process.wait()
    return {
        f"{suite.get('package')}: {case.get('classname')}": any(
            case.find(kind) is not None for kind in ("failure", "error")
        )
        for suite in ElementTree.parse(report).getroot().iter("testsuite")
        for case in suite.iter("testcase")
    }


async def failing(program: Path, port: int, chapters: Iterable[str], directory: Path) -> tuple[set[str], int]:
    """The cases that failed, and how many there were."""
    reports = (directory / f"{port}-{number}.xml" for number in itertools.count())
    parts = await asyncio.gather(
        *(cases(program, port, chapter, report) for chapter, report in zip(chapters, reports, strict=False))
    )
    found = {name: failed for part in parts for name, failed in part.items()}
    return {name for name, failed in found.items() if failed}, len(found)


async def test_no_case_fails_but_what_the_library_fails(face: Any, tmp_path: Path) -> None:
    program = await PROGRAM.locate(lambda _: None)
    server, port = await bare_server()

    async def both(chapters: Iterable[str]) -> tuple[tuple[set[str], int], tuple[set[str], int]]:
        return await asyncio.gather(
            failing(program, port, chapters, tmp_path), failing(program, face.server.port, chapters, tmp_path)
        )

    (bare, count), (ours, tried) = await both(CHAPTERS)
    assert count == tried >= CASES
    assert len(bare) <= count - PASSED
    for _ in range(TRIES - 1):
        if own := ours - bare:
            (also_bare, _), (again, _) = await both({name.partition(":")[0] for name in own})
            bare |= also_bare
            ours &= again
    await server.stop(None)
    assert ours - bare == set()
