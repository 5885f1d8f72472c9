"""Keys of payloads: which encrypts, what is refused, and what a file that changes in mid-run does."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from temporalio.api.common.v1 import Payload

from backends.errors import PayloadKeyMissing, PayloadUnreadable
from backends.temporal.encryption import KEY_ID, EncryptionCodec, FixedKeyRing, KeyRing
from gateway.settings import Settings

PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"content": "Ada"}')


def line(key_id: str, byte: int = 1, size: int = 32) -> str:
    return f"{key_id} {base64.b64encode(bytes([byte]) * size).decode()}\n"


def codec(text: str) -> EncryptionCodec:
    return EncryptionCodec(FixedKeyRing(KeyRing.parse(text)))


async def test_the_first_key_encrypts_and_all_decrypt() -> None:
    (by_old,) = await codec(line("old")).encode([PLAIN])
    both = codec(line("new", 2) + line("old"))
    (by_new,) = await both.encode([PLAIN])
    assert (by_old.metadata[KEY_ID], by_new.metadata[KEY_ID]) == (b"old", b"new")
    assert b"Ada" not in by_old.SerializeToString() + by_new.SerializeToString()
    assert await both.decode([by_old, by_new, PLAIN]) == [PLAIN, PLAIN, PLAIN]


async def test_the_same_payload_never_looks_the_same() -> None:
    keys = codec(line("k"))
    assert (await keys.encode([PLAIN]))[0].data != (await keys.encode([PLAIN]))[0].data


async def test_a_key_that_is_missing_is_named() -> None:
    (payload,) = await codec(line("old")).encode([PLAIN])
    with pytest.raises(PayloadKeyMissing, match="'old', which this process does not have"):
        await codec(line("new")).decode([payload])


@pytest.mark.parametrize("spoil", ["key", "data", "id"])
async def test_what_was_changed_on_the_way_is_refused(spoil: str) -> None:
    keys = codec(line("k") + line("other", 2))
    (payload,) = await keys.encode([PLAIN])
    if spoil == "data":
        payload.data = payload.data[:-1] + bytes([payload.data[-1] ^ 1])
    elif spoil == "id":
        payload.metadata[KEY_ID] = b"other"
    else:
        keys = codec(line("k", 3))
    with pytest.raises(PayloadUnreadable):
        await keys.decode([payload])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no key"),
        ("# a comment\n\n", "there is no key"),
        ("k1\n", "line 1: write `<key id> <32 bytes in base64>`"),
        (line("k1") + "k2 not!base64\n", "line 2: the key is not base64"),
        (line("k1", size=16), "line 1: the key has 16 bytes; AES-256 needs 32"),
        (line("k1") + "\n" + line("k1"), "line 3: the key id k1 is there already"),
    ],
)
def test_a_ring_that_cannot_be_used_is_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        KeyRing.parse(text)


async def test_a_file_is_read_again_and_a_broken_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is wrong with it is said once, and not at every payload."""
    path = tmp_path / "keys"
    path.write_text(line("old"))
    codec = Settings(temporal_codec_keys_file=path).payload_codec()
    assert codec is not None

    async def primary() -> str:
        [encrypted] = await codec.encode([Payload(data=b"x")])
        assert (await codec.decode([encrypted]))[0].data == b"x"
        return encrypted.metadata[KEY_ID].decode()

    path.write_text(line("new", 2) + line("old"))
    assert await primary() == "new"
    path.write_text("half of a li")
    assert [await primary() for _ in range(5)] == ["new"] * 5
    os.unlink(path)
    assert [await primary() for _ in range(5)] == ["new"] * 5
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 2
    assert "half" not in caplog.text
    path.write_text(line("newest", 3))
    assert await primary() == "newest"


def test_settings_say_in_a_line_what_is_wrong(tmp_path: Path) -> None:
    missing = tmp_path / "keys"
    for given, said in (
        ({"temporal_codec_keys": "k1 x"}, "TASKGATE_TEMPORAL_CODEC_KEYS cannot be used: line 1: the key is not base64"),
        ({"temporal_codec_keys_file": missing}, f"{missing}: No such file or directory"),
        ({"temporal_codec_keys": line("k"), "temporal_codec_keys_file": missing}, "not both"),
    ):
        with pytest.raises(ValidationError, match=said):
            Settings(**given)
