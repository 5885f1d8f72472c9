"""A client that sends many large messages at once: `flood.py ADDRESS KEY COUNT KIND BYTES` says how each was answered.

Kinds: `garbage` is no request; `text` a payload of one long text; `values` one of as many values as fit; `batch` a
stream of such texts, `keyed batch` one with a key of its own, `many tasks` one of BYTES small tasks; `unfinished` a
request whose end never arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.struct_pb2 import ListValue
from taskgate.v1 import BatchSettings, NewTask, SubmitBatchRequest, SubmitRequest

#: An empty object in a list, on the wire.
VALUE = b"\x0a\x02\x2a\x00"
#: Bytes of one message of a batch.
PART = 1024 * 1024


def task(kind: str, size: int) -> NewTask:
    task = NewTask(task_type="probe")
    if kind == "values":
        task.payload.fields["a"].list_value.CopyFrom(ListValue.FromString(VALUE * (size // len(VALUE))))
    else:
        task.payload["a"] = "x" * size
    return task


def parts(kind: str, size: int) -> Iterator[bytes]:
    if kind == "keyed batch":
        yield SubmitBatchRequest(settings=BatchSettings(idempotency_key=str(uuid.uuid4()))).SerializeToString()
    part = SubmitBatchRequest(task=task("text", 1 if kind == "many tasks" else PART)).SerializeToString()
    for _ in range(size if kind == "many tasks" else size // PART):
        yield part


async def cut(address: str, after: int) -> tuple[asyncio.Server, str]:
    """A way to the server on which so many bytes get there and no more."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = address.rpartition(":")
        back, forth = await asyncio.open_connection(host, int(port))

        async def answer() -> None:
            while data := await back.read(65536):
                writer.write(data)
            writer.close()

        answering, left = asyncio.create_task(answer()), after
        while data := await reader.read(65536):
            forth.write(data[:left])
            left = max(left - len(data), 0)
            with contextlib.suppress(ConnectionError):
                await forth.drain()
        forth.close()
        await answering

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    return server, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def main(address: str, key: str, count: int, kind: str, size: int) -> None:
    message = bytes(size) if kind == "garbage" else b""
    if kind in ("text", "values", "unfinished"):
        message = SubmitRequest(task=task(kind, size)).SerializeToString()
    if kind == "unfinished":
        _, address = await cut(address, size * 19 // 20)

    async def send(number: int) -> str:
        # Channels with the same options would share a connection.
        options = [("taskgate.flood", number), ("grpc.max_send_message_length", -1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            metadata, call = [("authorization", key)], "/taskgate.v1.TaskService/Submit"
            sent: Any
            if kind in ("batch", "keyed batch", "many tasks"):
                sent = channel.stream_unary(f"{call}Batch")(parts(kind, size), metadata=metadata)
            else:
                sent = channel.unary_unary(call)(message, metadata=metadata, timeout=20)
            try:
                await sent
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

    sys.stdout.write(" ".join(await asyncio.gather(*(send(number) for number in range(count)))))
    sys.stdout.flush()
    os._exit(0)  # what was cut is still open


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])))
