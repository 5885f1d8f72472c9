"""`Authority` signs certificates for tests; `TlsProxy` stands with one before a server that has none."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections import Counter
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Signs certificates into files of a folder."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {directory.name}")])
        self.file = directory / "ca.pem"
        certificate = (
            self._builder(self._name, self._key.public_key(), datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, valid: datetime.timedelta = datetime.timedelta(days=1)) -> tuple[Path, Path]:
        """Certificate and key, for 127.0.0.1 and `temporal.internal`; those of before are replaced."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("temporal.internal")]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            self._builder(subject, key.public_key(), valid)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        plain = serialization.NoEncryption()
        texts = (
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain),
        )
        for file, text in zip(files, texts, strict=True):
            fresh = file.with_name(f"{file.name}.new")
            fresh.write_bytes(text)
            fresh.replace(file)
        return files

    def _builder(self, subject: x509.Name, key: Any, valid: datetime.timedelta) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(now + valid)
        )


class TlsProxy:
    """Passes on what clients say; with `asks`, only clients with a certificate of the authority."""

    def __init__(self, target: str, authority: Authority, *, protocol: str | None = None, asks: bool = True) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*authority.issue("server"))
        self._context.load_verify_locations(authority.file)
        self._context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
        if protocol is not None:
            self._context.set_alpn_protocols([protocol])
        # Whoever resumes a session is not asked for its certificate again.
        self._context.num_tickets = 0
        self._open: set[asyncio.Task[None]] = set()
        self.serials: Counter[str] = Counter()
        """Connections so far, by the serial number of the client's certificate."""
        self._server: asyncio.Server

    async def __aenter__(self) -> TlsProxy:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0, ssl=self._context)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """End all connections."""
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        if certificate := writer.get_extra_info("peercert"):
            self.serials[certificate["serialNumber"]] += 1
        there, back = await asyncio.open_connection(self._host, self._port)
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            for end in (writer, back):
                end.transport.abort()


async def _copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        to.write(data)
        await to.drain()
    raise ConnectionResetError
