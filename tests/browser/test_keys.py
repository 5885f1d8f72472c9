"""Keys: made and shown once, rotated, revoked."""

from __future__ import annotations

from typing import Any

import httpx
from playwright.async_api import expect

from contracts.people import Household
from contracts.world import World
from visitor import Visitor


async def status_with(world: World, key: str) -> int:
    async with httpx.AsyncClient(base_url=world.url, trust_env=False) as client:
        answer = await client.get("/gateway/v1/tenants", headers={"Authorization": f"Bearer {key}"})
        return answer.status_code


async def test_a_key_is_made_rotated_and_revoked(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(home.owner.key, "keys")
    await page.get_by_role("button", name="Make a key").press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Name")).to_be_focused()
    await page.keyboard.type("nightly import")
    await expect(dialog.get_by_label("Tenant")).to_have_value(home.tenant_id)
    await expect(dialog.get_by_label("User")).to_be_hidden()
    await dialog.get_by_label("Scope").select_option("read")
    await dialog.get_by_label("Requests in a minute").fill("0")
    await expect(dialog.get_by_text("A whole number from 1 to 10,000,000, or nothing.")).to_be_visible()
    await dialog.get_by_label("Requests in a minute").fill("600")
    await visitor.look("keys-create")
    await dialog.get_by_label("Name").press("Enter")
    once = page.get_by_role("status").filter(has_text="Key nightly import")
    secret = once.get_by_text("ms_sk_")
    first = await secret.inner_text()
    assert await status_with(world, first) == 200
    await visitor.look("keys-made")
    await once.get_by_role("button", name="I have kept it").press("Enter")
    await expect(secret).to_be_hidden()

    row = page.get_by_role("row").filter(has_text="nightly import")
    await expect(row).to_contain_text("600 in a minute")
    await row.get_by_role("button", name="Rotate: nightly import").press("Enter")
    await dialog.get_by_label("Overlap in hours").fill("0")
    await visitor.look("keys-rotate")
    await page.keyboard.press("Enter")
    second = await secret.inner_text()
    assert second != first
    assert [await status_with(world, key) for key in (first, second)] == [401, 200]

    active = row.filter(has_text="active")
    await active.get_by_role("button", name="Revoke: nightly import").press("Enter")
    await dialog.get_by_label("Why").fill("it leaked")
    await visitor.look("keys-revoke")
    await page.keyboard.press("Enter")
    await expect(row.filter(has_text="revoked")).to_be_visible()
    assert await status_with(world, second) == 401
    await visitor.look("keys")


async def test_an_administrator_makes_one_for_somebody(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await visitor.sign_in(world.admin.key, f"keys?tenant={home.tenant_id}")
    await expect(page.get_by_role("heading", name="There is no such key")).to_be_visible()
    await page.get_by_role("button", name="Make a key").press("Enter")
    dialog = page.get_by_role("dialog")
    await page.keyboard.type("theirs")
    await dialog.get_by_label("Tenant").fill(home.tenant_id)
    await dialog.get_by_label("User").fill(home.member.user_id)
    await dialog.get_by_label("User").press("Enter")
    await expect(page.get_by_role("cell", name=home.member.user_id)).to_be_visible()


async def test_a_member_is_not_offered_it(visit: Any, home: Household) -> None:
    visitor: Visitor = await visit()
    await visitor.sign_in(home.member.key, "keys")
    await expect(visitor.page.get_by_text("There is no page here")).to_be_visible()


async def test_the_same_in_chinese(visit: Any, world: World, home: Household) -> None:
    visitor: Visitor = await visit(locale="zh-CN")
    page = visitor.page
    await visitor.open("keys")
    await page.get_by_label("API 密钥").press_sequentially(home.owner.key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="密钥", exact=True)).to_be_visible()
    await page.get_by_role("button", name="创建密钥").press("Enter")
    await visitor.look("keys-zh")
