"""Certificates on both sides, and files that change while the server runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc import StatusCode
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from minirag_sdk.v1.tenant_service_pb2_grpc import TenantServiceStub
from structlog.testing import capture_logs

from minirag import healthcheck
from tests.integration.api.certificates import Authority, make_authority
from tests.integration.api.conftest import RunningServer, bearer, open_server
from tests.integration.api.test_listening import refused_start
from tests.integration.cli.test_connections import run_at
from tests.support.fake_services import PLATFORM_KEY
from tests.support.refusals import refusal

Pair = tuple[Path, Path]


@dataclass
class Site:
    """A server's files, with an authority for it and one for its clients."""

    directory: Path
    authority: Authority
    clients: Authority
    certificate: Path
    key: Path

    @property
    def settings(self) -> dict[str, object]:
        return {
            "tls_certificate_file": self.certificate,
            "tls_key_file": self.key,
            "tls_client_ca_file": self.clients.file,
        }

    def put(self, certificate: Path | bytes, key: Path) -> None:
        """Replace the server's pair, as a tool that renews certificates does."""
        content = certificate if isinstance(certificate, bytes) else certificate.read_bytes()
        for target, data in ((self.certificate, content), (self.key, key.read_bytes())):
            fresh = target.with_suffix(".new")
            fresh.write_bytes(data)
            os.replace(fresh, target)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    authority = make_authority(tmp_path, "server-authority")
    certificate, key = authority.issue("server")
    return Site(tmp_path, authority, make_authority(tmp_path, "clients"), certificate, key)


@asynccontextmanager
async def connect(
    running: RunningServer, trusted: Authority, shown: Pair | None
) -> AsyncIterator[grpc.aio.Channel]:
    """A connection of its own, that trusts an authority and may show a certificate."""
    certificate, key = (file.read_bytes() for file in shown) if shown else (None, None)
    credentials = grpc.ssl_channel_credentials(trusted.file.read_bytes(), key, certificate)
    options = [("grpc.use_local_subchannel_pool", 1)]
    address = f"127.0.0.1:{running.port}"
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        yield channel


async def whoami(channel: grpc.aio.Channel) -> tenant_pb.WhoAmIResponse:
    request = tenant_pb.WhoAmIRequest()
    stub = TenantServiceStub(channel)
    return await stub.WhoAmI(request, metadata=bearer(PLATFORM_KEY), timeout=10)


async def is_served(running: RunningServer, trusted: Authority, shown: Pair | None) -> bool:
    """True if a new connection is; else it must be refused as a connection."""
    async with connect(running, trusted, shown) as channel:
        call = TenantServiceStub(channel).WhoAmI(
            tenant_pb.WhoAmIRequest(), metadata=bearer(PLATFORM_KEY), timeout=10
        )
        code = await call.code()
    assert code in {StatusCode.OK, StatusCode.UNAVAILABLE}
    return code is StatusCode.OK


async def test_only_certificates_of_the_clients_authority_are_served(site: Site) -> None:
    stranger = make_authority(site.directory, "stranger").issue("stranger-client")
    known = site.clients.issue("client")

    async with open_server(**site.settings) as running:
        served = [
            await is_served(running, site.authority, shown)
            for shown in (known, None, stranger, (site.certificate, site.key))
        ]

    assert served == [True, False, False, False]


async def test_a_certificate_takes_no_credentials_place(site: Site) -> None:
    async with (
        open_server(**site.settings) as running,
        connect(running, site.authority, site.clients.issue("client")) as channel,
    ):
        refused = await refusal(TenantServiceStub(channel).WhoAmI(tenant_pb.WhoAmIRequest()))

    assert (refused.code, refused.reason) == (StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING")


async def test_new_files_are_used_from_the_next_connection_on(site: Site) -> None:
    client = site.clients.issue("client")
    renewed = make_authority(site.directory, "renewed")

    async with (
        open_server(**site.settings) as running,
        connect(running, site.authority, client) as old,
    ):
        await whoami(old)
        with capture_logs() as logs:
            site.put(*renewed.issue("renewed-server"))
            served = [await is_served(running, each, client) for each in (renewed, site.authority)]
        went_on = await whoami(old)

    assert served == [True, False]
    assert went_on.HasField("platform")
    assert [line["event"] for line in logs if line["event"].startswith("tls")] == [
        "tls_files_loaded"
    ]


async def test_a_new_authority_of_clients_takes_the_old_ones_place(site: Site) -> None:
    before = site.clients.issue("before")
    later = make_authority(site.directory, "later")
    after = later.issue("after")

    async with open_server(**site.settings) as running:
        first = [await is_served(running, site.authority, each) for each in (before, after)]
        os.replace(later.file, site.clients.file)
        second = [await is_served(running, site.authority, each) for each in (before, after)]

    assert (first, second) == ([True, False], [False, True])


@pytest.mark.parametrize("wrong", ["garbage", "another's key", "absent", "half written"])
async def test_files_that_cannot_be_used_leave_the_old_ones_and_are_told_once(
    site: Site, wrong: str
) -> None:
    client = site.clients.issue("client")
    renewed, renewed_key = site.authority.issue("renewed")

    async with open_server(**site.settings) as running:
        with capture_logs() as logs:
            if wrong == "absent":
                site.certificate.unlink()
            elif wrong == "another's key":
                site.put(renewed, site.key)
            else:
                content = renewed.read_bytes()
                site.put(b"junk" if wrong == "garbage" else content[:100], renewed_key)
            served = [await is_served(running, site.authority, client) for _ in range(3)]
        with capture_logs() as later:
            site.put(renewed, renewed_key)
            served.append(await is_served(running, site.authority, client))

    assert served == [True] * 4
    told = [line for line in logs if line["event"].startswith("tls")]
    assert [(line["event"], line["log_level"]) for line in told] == [
        ("tls_files_unusable", "warning")
    ]
    assert told[0]["error"].startswith("MINIRAG_TLS_CERTIFICATE_FILE: ")
    assert "tls_files_loaded" in [line["event"] for line in later]


async def test_an_authority_that_cannot_be_used_is_refused_at_the_start(site: Site) -> None:
    garbage = site.directory / "garbage"
    garbage.write_text("no certificate")

    unusable = await refused_start(**{**site.settings, "tls_client_ca_file": garbage})
    absent = await refused_start(**{**site.settings, "tls_client_ca_file": site.directory / "no"})
    alone = await refused_start(tls_client_ca_file=site.clients.file)

    assert unusable.startswith("MINIRAG_TLS_CLIENT_CA_FILE: ")
    assert absent.startswith("MINIRAG_TLS_CLIENT_CA_FILE: ")
    assert alone.startswith("MINIRAG_TLS_CERTIFICATE_FILE: ")


async def test_the_health_check_shows_its_certificate(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = site.clients.issue("probe")
    monkeypatch.chdir(site.directory)

    async with open_server(**site.settings) as running:
        monkeypatch.setenv("MINIRAG_PORT", str(running.port))
        monkeypatch.setenv("MINIRAG_TLS_CERTIFICATE_FILE", str(site.certificate))
        without = await asyncio.to_thread(healthcheck.main, [])
        monkeypatch.setenv("MINIRAG_CLIENT_CERTIFICATE_FILE", str(certificate))
        half = await asyncio.to_thread(healthcheck.main, [])
        monkeypatch.setenv("MINIRAG_CLIENT_KEY_FILE", str(key))
        with_it = await asyncio.to_thread(healthcheck.main, [])

    assert (without, half, with_it) == (1, 2, 0)
    assert "MINIRAG_CLIENT_KEY_FILE" in capsys.readouterr().err


async def test_the_command_shows_its_certificate(site: Site) -> None:
    certificate, key = site.clients.issue("person")
    trusting = ("--tls-ca", str(site.authority.file))
    showing = ("--client-certificate", str(certificate), "--client-key", str(key))

    async with open_server(**site.settings) as running:
        output, _ = await run_at(running, "collection", "list", "--json", *trusting, *showing)
        _, refused = await run_at(running, "collection", "list", *trusting, code=6)
        _, half = await run_at(running, "collection", "list", *trusting, *showing[:2], code=2)

    assert output == '{"collections": []}\n'
    assert "--client-certificate" in refused
    assert "--client-key is missing" in half
