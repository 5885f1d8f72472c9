"""An API key to Temporal: a frontend of the real server that checks signed tokens, behind TLS."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from backends.errors import EngineUnavailable
from backends.temporal.engine import TemporalEngine
from backends.temporal.security import Security
from contracts.authority import Authority
from contracts.probes import BOARD
from contracts.world import PATIENCE, Servers, World
from deploy.local.ports import free_port, is_free
from deploy.local.process import Command
from deploy.local.pytest_stack import Stacks
from deploy.local.temporal import TemporalPart
from gateway.settings import Settings
from workers.testing.waiting import eventually


@dataclass
class Issuer:
    """Signs tokens. `file` is its key set, as Temporal reads it."""

    file: Path

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self) -> None:
        """Sign with another key from now on; tokens of before are refused once Temporal has read the file."""
        self._id = secrets.token_hex(4)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = self._key.public_key().public_numbers()
        numbers = {
            name: _words(number.to_bytes((number.bit_length() + 7) // 8, "big"))
            for name, number in (("n", public.n), ("e", public.e))
        }
        key = {"kty": "RSA", "kid": self._id, "alg": "RS256", "use": "sig", **numbers}
        replace_text(self.file, json.dumps({"keys": [key]}))

    def token(self, *permissions: str, seconds: float = 3600) -> str:
        """`namespace:role` each."""
        claims = {"sub": "taskgate", "permissions": permissions, "exp": int(time.time() + seconds)}
        text = ".".join(_words(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": self._id}, claims))
        return f"{text}.{_words(self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def replace_text(file: Path, text: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


def _words(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class GuardedFrontend(TemporalPart):
    """A second frontend of a running cluster."""

    keys: Path
    certificate: tuple[Path, Path]

    async def command(self) -> Command:
        command = await super().command()
        file = self.config / "server.yaml"
        config = yaml.safe_load(file.read_text())
        certificate, key = map(str, self.certificate)
        config["global"] |= {
            "authorization": {
                "jwtKeyProvider": {"keySourceURIs": [f"file://{self.keys}"], "refreshInterval": "1s"},
                "permissionsClaimName": "permissions",
                "authorizer": "default",
                "claimMapper": "default",
            },
            "tls": {"frontend": {"server": {"certFile": certificate, "keyFile": key}}},
        }
        file.write_text(yaml.safe_dump(config))
        argv = [word for word in command.argv if word != "--allow-no-auth"]
        return replace(command, argv=[*argv, "--service", "frontend"])

    async def healthy(self) -> bool:
        """It listens: its health is for clients with a key."""
        return not is_free(self.port)

    async def after_start(self) -> None:
        """The namespace is there."""


@dataclass
class Guarded:
    address: str
    issuer: Issuer
    authority: Authority

    def security(self, key: Callable[[], str] | None) -> Security:
        return Security(server_ca=self.authority.file, api_key=key)


@pytest_asyncio.fixture(scope="module")
async def guarded(
    stacks: Stacks, temporal_server: str, temporal_namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Guarded]:
    stack = await stacks.shared("temporal")
    directory = tmp_path_factory.mktemp("guarded")
    authority = Authority(directory)
    issuer = Issuer(directory / "keys.json")
    part = GuardedFrontend(
        directory,
        free_port(),
        lambda *_: None,
        sql=stack.temporal_nodes[0].sql,
        namespace=temporal_namespace,
        cluster_address=stack.temporal_address,
    )
    part.keys, part.certificate = issuer.file, authority.issue("server")
    await part.start()
    yield Guarded(part.url, issuer, authority)
    await part.stop()


async def test_a_refused_key_is_one_line_that_says_what_to_do(guarded: Guarded, temporal_namespace: str) -> None:
    issuer = guarded.issuer
    stranger = Issuer(guarded.issuer.file.with_name("stranger.json"))

    async def ask(key: str | None) -> None:
        security = guarded.security(None if key is None else lambda: key)
        engine = TemporalEngine(guarded.address, temporal_namespace, timeout=5, security=security)
        try:
            await engine.check_health()
            await engine.list_open()
        finally:
            await engine.close()

    await ask(issuer.token("temporal-system:admin"))
    await ask(issuer.token(f"{temporal_namespace}:admin"))
    for refused in (
        None,
        "no token",
        stranger.token("temporal-system:admin"),
        issuer.token("temporal-system:admin", seconds=-60),
        issuer.token("another-namespace:admin"),
    ):
        with pytest.raises(EngineUnavailable) as caught:
            await ask(refused)
        message = caught.value.message
        assert "TASKGATE_TEMPORAL_API_KEY" in message
        assert "\n" not in message
        assert refused is None or refused not in message


class GuardedWorld(World):
    """Gateway and workers trust the frontend's authority."""

    def __init__(self, servers: Servers, directory: Path, guarded: Guarded) -> None:
        super().__init__("live", replace(servers, temporal_address=guarded.address), directory)
        self._more = {"temporal_tls_ca": guarded.authority.file}

    def settings(self, **more: Any) -> Settings:
        return super().settings(**{**self._more, **more})


async def test_a_new_key_is_used_without_a_restart(
    guarded: Guarded, own_servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a key that is no longer taken tasks wait, and what runs goes on; gateway and worker use the new one."""
    file = tmp_path / "key"

    def write() -> None:
        replace_text(file, guarded.issuer.token(f"{own_servers.temporal_namespace}:admin") + "\n")

    write()
    monkeypatch.setenv("TASKGATE_TEMPORAL_API_KEY_FILE", str(file))
    async with GuardedWorld(own_servers, tmp_path, guarded).running() as world:
        home = await world.people.household()
        async with world.held(home) as (running, hold):
            guarded.issuer.rotate()
            tasks = [running]

            async def is_refused() -> bool:
                # Temporal reads its keys once a second: what is started before runs as ever.
                tasks.append(await world.submit(home))
                return world.gateway.dispatcher.is_down("temporal")

            await eventually(is_refused, within=PATIENCE, pause=0.2)
            hold.release()
            write()
            for task_id in tasks:
                assert (await world.ended(task_id))["status"] == "COMPLETED"
                assert BOARD.runs[task_id] == 1
