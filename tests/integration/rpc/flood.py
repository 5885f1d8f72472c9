"""A client that sends many large messages at once: `flood.py ADDRESS KEY COUNT BYTES` writes how each was answered."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc


async def main(address: str, key: str, count: int, size: int) -> None:
    message = bytes(size)

    async def send(number: int) -> str:
        # Channels with the same options would share a connection.
        async with grpc.aio.insecure_channel(address, options=[("taskgate.flood", number)]) as channel:
            submit: Any = channel.unary_unary("/taskgate.v1.TaskService/Submit")
            try:
                await submit(message, metadata=[("authorization", key)])
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

    sys.stdout.write(" ".join(await asyncio.gather(*(send(number) for number in range(count)))))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
