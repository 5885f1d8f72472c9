"""Parts of the editor of DAGs, as its tests find them."""

from __future__ import annotations

import re

from playwright.async_api import Locator, Page


def text_of(page: Page) -> Locator:
    return page.get_by_role("textbox", name="The DAG as YAML")


def row(page: Page, name: str) -> Locator:
    """Of the outline."""
    return page.get_by_role("treegrid").get_by_role("row", name=re.compile(f"^{name}"))
