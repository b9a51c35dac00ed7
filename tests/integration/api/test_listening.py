"""Where the server listens: its port, who can reach it, and with which encryption."""

from __future__ import annotations

from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc import StatusCode
from grpc._cython import cygrpc
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from minirag_sdk.v1.tenant_service_pb2_grpc import TenantServiceStub

from minirag.config import SettingsError
from minirag.server import RagServer, server_options
from tests.integration.api.certificates import lock_key, make_certificate
from tests.integration.api.conftest import RunningServer, bearer, open_channel, open_server
from tests.integration.api.processes import ServerProcess, start_server
from tests.support.fake_services import PLATFORM_KEY, make_container
from tests.support.refusals import refusal

AS_PLATFORM = bearer(PLATFORM_KEY)


async def refused_start(**settings: object) -> str:
    """Return the one line that says why a server doesn't start."""
    server = RagServer(make_container(**settings))
    with pytest.raises(SettingsError) as caught:
        await server.start()
    message = str(caught.value)
    assert "\n" not in message
    return message


async def whoami(channel: grpc.aio.Channel) -> tenant_pb.WhoAmIResponse:
    request = tenant_pb.WhoAmIRequest()
    return await TenantServiceStub(channel).WhoAmI(request, metadata=AS_PLATFORM, timeout=10)


def test_grpc_knows_every_option_by_its_name() -> None:
    """It passes over a name that it doesn't know, and the default stays."""
    library = Path(cygrpc.__file__).read_bytes()
    names = [name for name, _ in server_options(make_container().settings)]

    assert [name for name in names if name.encode() not in library] == []


async def test_two_servers_do_not_share_a_port(running: RunningServer) -> None:
    message = await refused_start(port=running.port)

    assert message.startswith("MINIRAG_PORT: ")
    assert f"127.0.0.1:{running.port} is in use" in message
    assert (await whoami(running.channel)).HasField("platform")


async def test_no_other_server_can_join_its_port(running: RunningServer) -> None:
    """Sharing needs both to agree, and gRPC's servers do so by default."""
    willing = grpc.aio.server(options=[("grpc.so_reuseport", 1)])

    with pytest.raises(RuntimeError, match="Failed to bind"):
        willing.add_insecure_port(f"127.0.0.1:{running.port}")

    await willing.stop(None)


async def test_a_port_can_be_taken_again_at_once() -> None:
    async with open_server() as first:
        port = first.port
        await whoami(first.channel)

    async with open_server(port=port) as second:
        assert second.port == port
        assert (await whoami(second.channel)).HasField("platform")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_keys_do_not_travel_in_plain_text(host: str) -> None:
    message = await refused_start(host=host)

    assert message.startswith("MINIRAG_HOST: ")
    assert "MINIRAG_TLS_CERTIFICATE_FILE" in message
    assert "MINIRAG_ALLOW_PLAINTEXT" in message


@pytest.mark.parametrize(
    ("host", "said"),
    [("192.0.2.1", "isn't an address of this machine"), ("no.such.invalid", "isn't a known host")],
)
async def test_a_host_that_is_not_here_is_named(host: str, said: str) -> None:
    message = await refused_start(host=host, allow_plaintext=True)

    assert message.startswith(f"MINIRAG_HOST: {host}")
    assert said in message


async def test_tls_serves_who_trusts_the_certificate(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    stranger, _ = make_certificate(tmp_path, "stranger")

    async with open_server(tls_certificate_file=certificate, tls_key_file=key) as running:
        address = f"127.0.0.1:{running.port}"
        trusting = grpc.ssl_channel_credentials(certificate.read_bytes())
        doubting = grpc.ssl_channel_credentials(stranger.read_bytes())
        async with grpc.aio.secure_channel(address, trusting) as channel:
            answer = await whoami(channel)
        async with grpc.aio.secure_channel(address, doubting) as channel:
            untrusted = await refusal(whoami(channel))
        async with open_channel(running.port) as channel:
            plaintext = await refusal(whoami(channel))

    assert answer.HasField("platform")
    assert untrusted.code is StatusCode.UNAVAILABLE
    assert plaintext.code is StatusCode.UNAVAILABLE


async def test_half_of_a_tls_pair_names_the_other_half(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)

    no_key = await refused_start(tls_certificate_file=certificate)
    no_certificate = await refused_start(tls_key_file=key)

    assert no_key.startswith("MINIRAG_TLS_KEY_FILE: ")
    assert no_certificate.startswith("MINIRAG_TLS_CERTIFICATE_FILE: ")


async def test_a_tls_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    absent = tmp_path / "absent"

    no_key = await refused_start(tls_certificate_file=certificate, tls_key_file=absent)
    no_certificate = await refused_start(tls_certificate_file=absent, tls_key_file=key)

    assert no_key.startswith("MINIRAG_TLS_KEY_FILE: ")
    assert no_certificate.startswith("MINIRAG_TLS_CERTIFICATE_FILE: ")
    assert str(absent) in no_key


@pytest.mark.parametrize(
    "wrong", ["another's key", "garbage key", "garbage certificate", "empty", "locked"]
)
async def test_tls_files_that_do_not_fit_are_refused(tmp_path: Path, wrong: str) -> None:
    certificate, key = make_certificate(tmp_path)
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"" if wrong == "empty" else b"nonsense")
    if wrong == "another's key":
        _, key = make_certificate(tmp_path, "stranger")
    elif wrong == "locked":
        key = lock_key(key)
    elif wrong == "garbage certificate":
        certificate = garbage
    else:
        key = garbage

    message = await refused_start(tls_certificate_file=certificate, tls_key_file=key)

    assert message.startswith("MINIRAG_TLS_CERTIFICATE_FILE: ")


async def test_a_process_that_cannot_listen_ends_with_2_and_one_line(
    running: RunningServer, tmp_path: Path
) -> None:
    with start_server(tmp_path, port=running.port) as server:
        code = await server.exit_code()

    (line,) = told(server)
    assert code == 2
    assert line.startswith("minirag serve: MINIRAG_PORT: ")
    assert server.lines("container_closed")


async def test_a_process_with_an_unusable_certificate_ends_with_2_and_one_line(
    tmp_path: Path,
) -> None:
    certificate, _ = make_certificate(tmp_path)
    _, key = make_certificate(tmp_path, "stranger")

    with start_server(tmp_path, tls_certificate_file=certificate, tls_key_file=key) as server:
        code = await server.exit_code()

    (line,) = told(server)
    assert code == 2
    assert line.startswith("minirag serve: MINIRAG_TLS_CERTIFICATE_FILE: ")


async def test_a_process_whose_dependency_is_away_ends_with_1_and_one_line(
    tmp_path: Path,
) -> None:
    url = "postgresql://minirag_app:hunter2@127.0.0.1:1/minirag"

    with start_server(tmp_path, database_url=url) as server:
        code = await server.exit_code()

    (line,) = told(server)
    assert code == 1
    assert line.startswith("minirag serve: ")
    assert "hunter2" not in line


def told(server: ServerProcess) -> list[str]:
    """What stands on standard error beside the log."""
    return [line for line in server.log().splitlines() if not line.startswith("{")]
