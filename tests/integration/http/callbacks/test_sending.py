"""One attempt: which address it goes to, and what it takes for an answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway.callbacks.address import CallbackRules
from gateway.callbacks.sending import Sender

ANY_PORT = ["1-65535"]
LOCAL = CallbackRules.of(False, ["127.0.0.1/32"], ANY_PORT)
PUBLIC = CallbackRules.of(False, [], ANY_PORT)


class Names:
    """A resolver that gives the next of its answers, and notes what it was asked."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self._answers.pop(0)


async def send(url: str, rules: CallbackRules = LOCAL, names: Any = None, **options: Any) -> Any:
    sender = Sender(rules, **{"timeout": 5.0, "resolver": names or Names(), **options})
    try:
        return await sender.send(url, {"webhook-id": "m"}, b"{}")
    finally:
        await sender.close()


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["169.254.169.254"],
        ["10.0.0.1"],
        ["93.184.216.34", "127.0.0.1"],
        ["::ffff:127.0.0.1"],
        ["fe80::1%lo"],
    ],
)
async def test_a_name_that_stands_for_a_private_address(receiver, addresses: list[str]) -> None:
    """Public when it was submitted, private now: nothing is connected to, and it is not tried again."""
    answer = await send(receiver.url(host="hooks.example.test"), PUBLIC, Names(addresses))
    assert (answer.final, answer.status) == (True, None)
    # Not the address: whoever registered the name must not learn what stands behind it.
    assert answer.error == "hooks.example.test stands for a private address"
    assert receiver.hits == []


async def test_the_checked_address_is_the_one_that_is_used(receiver) -> None:
    """A name server that answers anew for each look-up is asked once only."""
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    answer = await send(receiver.url(host="hooks.example.test"), LOCAL, names)
    assert answer.delivered
    assert names.asked == ["hooks.example.test"]
    (hit,) = receiver.hits
    assert hit.headers["host"] == f"hooks.example.test:{receiver.port}"


async def test_a_literal_address_needs_no_resolver_and_is_checked(receiver) -> None:
    assert (await send(receiver.url())).delivered
    assert (await send(receiver.url(), PUBLIC)).final
    assert len(receiver.hits) == 1


async def test_a_proxy_of_the_environment_is_not_used(receiver, monkeypatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await send(receiver.url())).delivered


async def test_tls_is_checked_against_the_name(open_receiver, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("hooks.example.test").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    async with open_receiver(context) as receiver:
        url = receiver.url(host="hooks.example.test", scheme="https")
        assert (await send(url, LOCAL, Names(["127.0.0.1"]), ca_file=ca_file)).delivered
        other = receiver.url(host="other.example.test", scheme="https")
        for answer in (
            await send(other, LOCAL, Names(["127.0.0.1"]), ca_file=ca_file),
            await send(url, LOCAL, Names(["127.0.0.1"])),
        ):
            assert answer.error.startswith("TLS: ")
            assert not answer.final
        assert len(receiver.hits) == 1


async def test_an_address_that_is_silent_leaves_time_for_the_next(receiver) -> None:
    """A full queue of connections is as silent as a firewall."""
    rules = CallbackRules.of(False, ["127.0.0.0/8"], ANY_PORT)
    with contextlib.ExitStack() as sockets:
        silent = sockets.enter_context(socket.socket())
        silent.bind(("127.0.0.2", receiver.port))
        silent.listen(0)
        for _ in range(4):
            filling = sockets.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(silent.getsockname())
        url = receiver.url(host="hooks.example.test")
        answer = await send(url, rules, Names(["127.0.0.2", "127.0.0.1"]), timeout=4.0)
        assert (answer.error, answer.status) == (None, 204)
        alone = await send(url, rules, Names(["127.0.0.2"]), timeout=0.2)
        assert alone.error == "no answer within 0.2 s"


async def test_all_of_an_attempt_has_one_limit(receiver) -> None:
    receiver.answers += [None]
    answer = await send(receiver.url(), timeout=0.2)
    assert (answer.error, answer.final) == ("no answer within 0.2 s", False)


async def test_a_slow_resolver_counts_too() -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def never(host: str, port: int) -> list[str]:
        asyncio.run_coroutine_threadsafe(done.wait(), loop).result(20)
        return []

    answer = await send("http://hooks.example.test/", names=never, timeout=0.2)
    done.set()
    assert answer.error == "no answer within 0.2 s"


@pytest.mark.parametrize(
    ("line", "retry_after"),
    [
        ("Retry-After: 30", 30.0),
        ("Retry-After: 99999999999999999999", 999999999.0),
        ("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Retry-After: soon", None),
        ("Retry-After: -5", None),
        ("X: y", None),
    ],
)
async def test_what_a_receiver_may_ask_for(receiver, line: str, retry_after: float | None) -> None:
    receiver.answers += [f"503 Busy\r\n{line}"]
    answer = await send(receiver.url())
    assert (answer.status, answer.retry_after, answer.final) == (503, retry_after, False)


async def test_an_answer_that_is_no_http(receiver) -> None:
    receiver.answers += ["nonsense\x00"]
    answer = await send(receiver.url())
    assert answer.status is None
    assert answer.error
