"""Contract §1: what an Authorization header may look like."""

from __future__ import annotations

import hashlib

import pytest

from gateway.access.keys import MissingKey, create_key, hash_key, read_key
from gateway.errors import Unauthenticated

KEY = "ms_sk_" + "a1" * 32


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"Token {KEY}", KEY, f"bearer {KEY}", f" Bearer  {KEY} "])
def test_accepted_forms(header: str) -> None:
    assert read_key(header) == KEY


@pytest.mark.parametrize("header", [None, "", "  "])
def test_no_header(header: str | None) -> None:
    with pytest.raises(MissingKey) as caught:
        read_key(header)
    assert caught.value.message == "Missing API key. Please provide an API key in the Authorization header."


@pytest.mark.parametrize("header", ["Bearer abc", "Basic " + KEY, "Bearer", "sk_ms_1", f"Digest {KEY}"])
def test_wrong_form(header: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        read_key(header)
    assert caught.value.message == "Invalid API key format. API keys should start with 'ms_sk_'"


def test_new_keys_have_the_form_and_hash_of_the_contract() -> None:
    key = create_key()
    assert key.startswith("ms_sk_")
    assert len(bytes.fromhex(key.removeprefix("ms_sk_"))) == 32
    assert key != create_key()
    assert hash_key(key) == hashlib.sha256(key.encode()).hexdigest()
