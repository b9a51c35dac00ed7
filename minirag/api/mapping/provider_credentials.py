"""A tenant's own keys of model providers; never the keys."""

from __future__ import annotations

from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.domain.provider_credentials import ProviderCredential


def encode_provider_credential(credential: ProviderCredential) -> pb.ProviderCredential:
    return pb.ProviderCredential(
        provider=credential.provider,
        key_hint=credential.key_hint,
        create_time=credential.create_time,
        update_time=credential.update_time,
    )
