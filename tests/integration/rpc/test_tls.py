"""TLS and mTLS of the gRPC face."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from taskgate.v1 import StatsRequest, TaskServiceStub

from gateway.rpc.server import GrpcServer

Code = grpc.StatusCode


class Certificates:
    """A certificate authority, and what it issued, as files."""

    def __init__(self, directory: Path) -> None:
        self.authority = trustme.CA()
        self.certificate, self.key = directory / "server.pem", directory / "server.key"
        self.client_ca = directory / "clients.pem"
        self.authority.cert_pem.write_to_path(str(self.client_ca))
        self.renew()

    def renew(self) -> None:
        """A new certificate in the place of the old one."""
        issued = self.authority.issue_cert("localhost")
        issued.private_key_pem.write_to_path(str(self.key))
        self.certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))

    @property
    def settings(self) -> dict[str, Any]:
        return {"grpc_tls_certificate": self.certificate, "grpc_tls_key": self.key}

    def channel(self, port: int, client: trustme.LeafCert | None = None) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=self.authority.cert_pem.bytes(),
            private_key=client.private_key_pem.bytes() if client else None,
            certificate_chain=client.cert_chain_pems[0].bytes() if client else None,
        )
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.secure_channel(f"localhost:{port}", credentials, options=options)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


async def test_tls(faces: Any, certificates: Certificates, refusal: Any, tmp_path: Path) -> None:
    face = await faces(**certificates.settings)

    async with certificates.channel(face.server.port) as channel:
        assert (await TaskServiceStub(channel).Stats(StatsRequest(), metadata=face.ann)).total == 0
    plain = await refusal(face.tasks.Stats(StatsRequest(), metadata=face.ann))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stranger = Certificates(elsewhere)
    async with stranger.channel(face.server.port) as channel:
        distrusted = await refusal(TaskServiceStub(channel).Stats(StatsRequest(), metadata=face.ann))

    assert (plain.code, distrusted.code) == (Code.UNAVAILABLE, Code.UNAVAILABLE)


async def test_mtls_lets_in_only_clients_of_its_authority(faces: Any, certificates: Certificates, refusal: Any) -> None:
    face = await faces(**certificates.settings, grpc_tls_client_ca=certificates.client_ca)
    known = certificates.authority.issue_cert("client.example")
    stranger = trustme.CA().issue_cert("client.example")

    async with certificates.channel(face.server.port, known) as channel:
        assert (await TaskServiceStub(channel).Stats(StatsRequest(), metadata=face.ann)).total == 0
    for client in (None, stranger):
        async with certificates.channel(face.server.port, client) as channel:
            refused = await refusal(TaskServiceStub(channel).Stats(StatsRequest(), metadata=face.ann))
        assert refused.code is Code.UNAVAILABLE


def served_certificate(certificates: Certificates, port: int) -> bytes:
    """What a new connection is shown."""
    context = ssl.create_default_context(cadata=certificates.authority.cert_pem.bytes().decode())
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        shown = secure.getpeercert(binary_form=True)
    assert shown is not None
    return shown


async def test_a_renewed_certificate_needs_no_restart(faces: Any, certificates: Certificates) -> None:
    face = await faces(**certificates.settings)
    first = await asyncio.to_thread(served_certificate, certificates, face.server.port)
    certificates.key.write_text("half-written")
    half_written = await asyncio.to_thread(served_certificate, certificates, face.server.port)
    certificates.renew()
    renewed = await asyncio.to_thread(served_certificate, certificates, face.server.port)

    assert half_written == first
    assert renewed != first


@pytest.mark.parametrize("missing", ["grpc_tls_certificate", "grpc_tls_key"])
async def test_half_of_a_pair_is_refused(face: Any, certificates: Certificates, missing: str) -> None:
    settings = {**certificates.settings, missing: None}
    face.gateway.settings = face.gateway.settings.model_copy(update=settings)
    with pytest.raises(ValueError, match="belong together"):
        await GrpcServer(face.gateway).start()


async def test_a_certificate_that_cannot_be_read_is_refused(face: Any, certificates: Certificates) -> None:
    face.gateway.settings = face.gateway.settings.model_copy(update=certificates.settings)
    certificates.certificate.write_text("nothing")
    with pytest.raises(ValueError, match="no PEM"):
        await GrpcServer(face.gateway).start()
    certificates.certificate.unlink()
    with pytest.raises(OSError, match=r"server\.pem"):
        await GrpcServer(face.gateway).start()


# Beginning and end ------------------------------------------------------------------------------------------
