"""TLS from the command line: who is trusted, and what is said when nobody is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.api.certificates import make_certificate
from tests.integration.api.conftest import open_server
from tests.integration.cli.test_connections import run_at


async def test_named_authority_is_trusted_and_turns_encryption_on(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)

    async with open_server(tls_certificate_file=certificate, tls_key_file=key) as server:
        output, _ = await run_at(
            server, "collection", "list", "--json", "--tls-ca", str(certificate)
        )

    assert output == '{"collections": []}\n'


@pytest.mark.parametrize("option", ["--tls", "--no-tls"])
async def test_connection_that_fails_is_told_with_the_option_to_change(
    tmp_path: Path, option: str
) -> None:
    certificate, key = make_certificate(tmp_path)

    async with open_server(tls_certificate_file=certificate, tls_key_file=key) as server:
        output, errors = await run_at(server, "collection", "list", option, code=6)

    assert output == ""
    assert errors.count("\n") == 1
    assert "--tls" in errors


async def test_encryption_to_a_plain_server_is_told(tmp_path: Path) -> None:
    async with open_server() as server:
        _, errors = await run_at(server, "collection", "list", "--tls", code=6)

    assert "--no-tls" in errors
