"""A value that cannot be meant ends the process with one line that names the variable and says what is wanted."""

from __future__ import annotations

import os

import pytest

from gateway.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TASKGATE_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HTTP_PORT", "99999", "Input should be less than or equal to 65535"),
        ("HTTP_PORT", "", "Input should be a valid integer, unable to parse string as an integer"),
        ("DATABASE_URL", "nonsense", "not an address that begins with postgresql:// or postgres://"),
        ("DATABASE_URL", "mysql://user:secret@a/b", "not an address that begins with postgresql:// or postgres://"),
        ("DATABASE_URL", "", "not an address that begins with postgresql:// or postgres://"),
        ("REDIS_URL", "localhost:6379", "not an address that begins with redis:// or rediss:// or unix://"),
        ("UPSTREAM_URL", "memstack", "not an address that begins with http:// or https://"),
        ("TEMPORAL_ADDRESS", "localhost", "not host:port"),
        ("TEMPORAL_ADDRESS", "http://localhost:7233", "not host:port"),
        ("TRUSTED_PROXIES", "10.0.0.1", 'this is not JSON, such as ["127.0.0.1", "::1"]'),
        ("TRUSTED_PROXIES", '["10.0.0"]', "'10.0.0' does not appear to be an IPv4 or IPv6 network"),
        (
            "TRUSTED_PROXIES",
            '["10.0.0.5/8"]',
            "'10.0.0.5/8' is neither a network nor an address: write '10.0.0.0/8' or '10.0.0.5'",
        ),
        (
            "TRUSTED_PROXIES",
            '["2001:db8::7/32"]',
            "'2001:db8::7/32' is neither a network nor an address: write '2001:db8::/32' or '2001:db8::7'",
        ),
        ("TRUSTED_PROXIES", '["*", "10.0.0.0/8"]', "'*' is everybody: write it alone"),
        ("RETENTION_TENANTS", '{"acme": {"task_dayz": 1}}', "acme: task_dayz: Extra inputs are not permitted"),
        ("LOG_LEVEL", "loud", "not one of CRITICAL, FATAL, ERROR, WARN, WARNING, INFO, DEBUG, NOTSET"),
        ("CALLBACK_PORTS", '["0-70000"]', "'0-70000' is neither a port nor a range of ports"),
    ],
)
def test_what_cannot_be_meant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"TASKGATE_{name}", value)
    with pytest.raises(SystemExit) as end:
        read_settings()
    assert end.value.code == 2
    assert capsys.readouterr().err == f"taskgate: TASKGATE_{name}: {said}\n"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("database_url", "postgresql+asyncpg://a/b"),
        ("redis_url", ""),
        ("redis_url", "unix:///run/redis.sock"),
        ("temporal_address", "[::1]:7233"),
        ("trusted_proxies", ["*"]),
        ("trusted_proxies", ["10.0.0.0/8", "192.0.2.1/32", "::1"]),
        ("log_level", "debug"),
    ],
)
def test_what_may_be_meant(field: str, value: object) -> None:
    Settings(**{field: value})


@pytest.mark.parametrize("name", ["TASKGATE_ADMIN_KEY", "TASKGATE_KEY_ACME", "TASKGATE_PROJECT_ACME", "TASKGATE_URL"])
def test_what_the_embedded_stack_writes_is_not_taken_for_a_misspelt_setting(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    read_settings()


@pytest.mark.parametrize(
    ("name", "meant"), [("REDIS_ULR", "REDIS_URL"), ("HTTP_PROT", "HTTP_PORT"), ("DATABSE_URL", "DATABASE_URL")]
)
def test_a_misspelt_setting_is_named_with_the_one_that_is_meant(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"TASKGATE_{name}", "x")
    with pytest.raises(SystemExit):
        read_settings()
    said = f"taskgate: there is no setting TASKGATE_{name}; perhaps TASKGATE_{meant} is meant\n"
    assert capsys.readouterr().err == said
