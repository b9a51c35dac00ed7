"""A node's own ring: made with it, rotated while it is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb

from minirag.adapters.keyring import generate_entry
from tests.support.client import create_tenant
from tests.support.node import NodeProcess
from tests.support.programs import run_minirag


@pytest.mark.long
async def test_a_stopped_nodes_secrets_are_sealed_anew_and_open_without_the_old_key(
    directory: Path,
) -> None:
    node = NodeProcess(directory)
    node.start()
    ring = node.data / "secret.keys"
    async with await create_tenant(node.address, node.platform_key) as client:
        await client.tenants.SetProviderCredential(
            tenant_pb.SetProviderCredentialRequest(provider="openai", api_key="sk-0123456789")
        )
    node.close()
    old = ring.read_text()
    new = generate_entry("new") + "\n"
    ring.write_text(new + old)

    told = [
        run_minirag(
            directory, "secrets", "rotate", "--data-dir", str(node.data), *more, environment={}
        )
        for more in (["--dry-run"], [], [])
    ]

    assert [done.returncode for done in told] == [0, 0, 0], told[0].stderr
    assert [done.stdout.split(" secret")[0] for done in told] == ["1", "1", "0"]
    ring.write_text(new)
    node.start()
    try:
        assert ring.stat().st_mode & 0o777 == 0o600
        assert old.partition(":")[2].strip() not in node.program.log
    finally:
        node.close()
