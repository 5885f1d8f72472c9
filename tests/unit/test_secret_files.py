"""Secrets by file: what is read at start-up, what is refused, and what is read later."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.secret_files import text_of
from gateway.settings import SECRETS, Settings, read_settings


def test_these_settings_are_secrets() -> None:
    assert {
        "database_url",
        "redis_url",
        "graph_url",
        "launchdarkly_sdk_key",
        "launchdarkly_api_token",
        "guardrail_webhook_secret",
        "llm_api_key",
        "embedder_api_key",
        "temporal_api_key",
        "api_key",
    } == SECRETS


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_each_comes_by_file_and_follows_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(f"TASKGATE_{name.upper()}", raising=False)
    monkeypatch.setenv(f"TASKGATE_{name.upper()}_FILE", str(tmp_path / "secret"))
    scheme = {"database_url": "postgresql", "redis_url": "redis", "graph_url": "bolt"}.get(name, "any")
    (tmp_path / "secret").write_text(f"{scheme}://first\n")
    settings = read_settings()
    secret = settings.follow(name)
    assert text_of(secret) == f"{scheme}://first"
    assert f"{scheme}://first" not in repr(settings) or name.endswith("_url")
    replace(tmp_path / "secret", f" {scheme}://second-and-longer ")
    assert text_of(secret) == f"{scheme}://second-and-longer"


def test_the_scheme_of_the_database_is_asyncpgs_also_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKGATE_DATABASE_URL", raising=False)
    monkeypatch.setenv("TASKGATE_DATABASE_URL_FILE", str(tmp_path / "secret"))
    (tmp_path / "secret").write_text("postgresql+asyncpg://one/db")
    settings = read_settings()
    assert settings.database_url == "postgresql://one/db"
    replace(tmp_path / "secret", "postgresql+asyncpg://second/db")
    assert text_of(settings.follow("database_url")) == "postgresql://second/db"


def test_what_cannot_be_read_later_leaves_the_last_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TASKGATE_LLM_API_KEY_FILE", str(tmp_path / "secret"))
    (tmp_path / "secret").write_text("sesame")
    secret = read_settings().follow("llm_api_key")
    (tmp_path / "secret").unlink()
    assert text_of(secret) == "sesame"
    replace(tmp_path / "secret", "")
    assert text_of(secret) == "sesame"
    said = [record.message for record in caplog.records]
    assert [line.rpartition(": ")[2] for line in said] == ["No such file or directory", "it is empty"]
    replace(tmp_path / "secret", "open")
    assert text_of(secret) == "open"


MALFORMED = [
    ("redis_url", "nonsense"),
    *(("redis_url", f"redis://:hush{sign}12@host:6379/0") for sign in "/?#"),
    ("redis_url", "redis://:12/hush@host:6379/0"),
    ("redis_url", "redis://user:hush@[::1/0"),
    *(("database_url", f"postgresql://u:hush{sign}12@host:5432/db") for sign in "/?#"),
    *(("database_url", f"postgresql://u:12{sign}hush@host:5432/db") for sign in "/?#"),
    ("database_url", "postgresql://u:hush@one:5432,two:none/db"),
    ("database_url", "postgresql://u:hush@one:65536/db"),
    ("graph_url", "bolt://neo4j:hush/12@host:7687"),
]
WELL_FORMED = [
    *(("redis_url", f"redis://{rest}") for rest in ("host", "u:a%2Fb@host:6379/0?protocol=3", "[::1]:6379")),
    *(("redis_url", url) for url in ("unix:///run/redis@1.sock?db=2", "rediss://:p@ss@host:1/0")),
    *(("database_url", f"postgresql://{rest}") for rest in ("u:a%2Fb%23@one:1,two:2/db?sslmode=require", "h/db")),
    *(("database_url", f"postgresql://{rest}") for rest in ("/db?host=/run/pg", "u@%2Frun%2Fpg/db", "[::1]:1/db")),
    *(("graph_url", f"neo4j+s://{rest}") for rest in ("one.neo4j.io", "neo4j:a%2Fb@host:7687/db")),
]


@pytest.mark.parametrize(("name", "malformed"), MALFORMED)
def test_an_address_that_cannot_be_meant_leaves_the_last_one(
    name: str, malformed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(f"TASKGATE_{name.upper()}", raising=False)
    monkeypatch.setenv(f"TASKGATE_{name.upper()}_FILE", str(tmp_path / "secret"))
    first = {"redis_url": "redis", "database_url": "postgresql", "graph_url": "bolt"}[name] + "://one"
    (tmp_path / "secret").write_text(first)
    secret = read_settings().follow(name)
    replace(tmp_path / "secret", malformed)
    assert text_of(secret) == first
    assert "not an address" in caplog.text
    assert "hush" not in caplog.text


@pytest.mark.parametrize(("name", "malformed"), MALFORMED)
def test_an_address_that_cannot_be_meant_is_refused_at_first(
    name: str, malformed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"TASKGATE_{name.upper()}", malformed)
    with pytest.raises(SystemExit):
        read_settings()
    said = capsys.readouterr().err
    assert said.startswith(f"taskgate: TASKGATE_{name.upper()}: not an address")
    assert "hush" not in said


@pytest.mark.parametrize(("name", "address"), WELL_FORMED)
def test_these_are_addresses(name: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TASKGATE_{name.upper()}", address)
    assert getattr(read_settings(), name) == address


def test_a_value_that_was_given_in_code_is_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_REDIS_URL_FILE", str(tmp_path / "secret"))
    (tmp_path / "secret").write_text("redis://file")
    assert Settings(redis_url="redis://code").follow("redis_url") == "redis://code"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "TASKGATE_REDIS_URL_FILE: {path} cannot be read: No such file or directory"),
        (b"\n", "TASKGATE_REDIS_URL_FILE: {path} cannot be read: it is empty"),
        (b"\xff\xfe", "TASKGATE_REDIS_URL_FILE: {path} cannot be read: it is not UTF-8 text"),
    ],
)
def test_what_cannot_be_read_at_first_is_one_line(
    content: bytes | None,
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("TASKGATE_REDIS_URL", raising=False)
    path = tmp_path / "secret"
    monkeypatch.setenv("TASKGATE_REDIS_URL_FILE", str(path))
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit):
        read_settings()
    assert capsys.readouterr().err == f"taskgate: {complaint.format(path=path)}\n"


def test_both_are_one_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TASKGATE_REDIS_URL", "redis://variable")
    monkeypatch.setenv("TASKGATE_REDIS_URL_FILE", str(tmp_path / "secret"))
    with pytest.raises(SystemExit):
        read_settings()
    said = "taskgate: TASKGATE_REDIS_URL and TASKGATE_REDIS_URL_FILE are both set: keep one of them\n"
    assert capsys.readouterr().err == said


def replace(path: Path, text: str) -> None:
    """As a rotation does it: the new file takes the place of the old one at once."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)
