"""Callbacks: delivered, given up, opened, and sent again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import expect

from contracts.people import Household
from contracts.world import World
from visitor import Visitor


class Receiver:
    """Answers every request with the same status."""

    def __init__(self) -> None:
        self.status = "410 Gone"
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield receiver


async def test_what_was_given_up_is_opened_and_sent_again(
    visit: Any, world: World, home: Household, receiver: Receiver
) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "callbacks")
    await expect(page.get_by_role("heading", name="There is no callback")).to_be_visible()
    await visitor.look("callbacks-none")
    answer = await world.client(home.owner).post(f"/gateway/v1/tenants/{home.tenant_id}/webhook-secret")
    assert answer.status_code == 201
    task_id = await world.submit(home, callback={"url": receiver.url})

    row = page.get_by_role("row").filter(has_text=task_id[-8:])
    await expect(row.get_by_text("given up")).to_be_visible()
    await expect(row).to_contain_text("410")
    link = row.get_by_role("link", name="msg_")
    await link.press("Enter")
    opened = page.get_by_role("region", name="Callback ")
    await expect(opened.get_by_role("heading", name="Callback ")).to_be_focused()
    await expect(opened.get_by_text("task.completed")).to_be_visible()
    await visitor.look("callbacks-opened")
    await opened.get_by_role("button", name="Close").press("Enter")
    await expect(opened).to_be_hidden()
    await expect(link).to_be_focused()

    receiver.status = "200 OK"
    await row.get_by_role("button", name="Send again: ").press("Enter")
    ask = page.get_by_role("alertdialog")
    await expect(ask.get_by_role("button", name="Cancel")).to_be_focused()
    await visitor.look("callbacks-resend")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(row.get_by_text("delivered")).to_be_visible()

    receiver.status = "410 Gone"
    other = await world.submit(home, callback={"url": receiver.url})
    given_up = page.get_by_role("row").filter(has_text=other[-8:])
    await expect(given_up.get_by_text("given up")).to_be_visible()
    receiver.status = "200 OK"
    await page.get_by_role("button", name="Send all again that were given up").press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Sent again: 1", exact=True)).to_be_visible()
    await expect(given_up.get_by_text("delivered")).to_be_visible()
    await page.get_by_label("State").select_option("dead")
    await expect(page.get_by_role("heading", name="There is no callback")).to_be_visible()
    await page.get_by_label("State").select_option("delivered")
    await expect(page.get_by_role("row")).to_have_count(3)
    await visitor.look("callbacks")


async def test_the_same_in_chinese(visit: Any, home: Household) -> None:
    visitor: Visitor = await visit(locale="zh-CN")
    page = visitor.page
    await visitor.open("callbacks")
    await page.get_by_label("API 密钥").press_sequentially(home.owner.key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="没有回调")).to_be_visible()
    await visitor.look("callbacks-zh")
