"""On whose account a worker ingests a document."""

from __future__ import annotations

from minirag.domain.access import TenantContext
from minirag.domain.documents import DocumentVersion
from minirag.domain.limits import UNLIMITED, Limits
from minirag.services.ports.storage import TenantUnitOfWork


async def read_uploader(
    uow: TenantUnitOfWork, version: DocumentVersion, limits: Limits, *, calls_models: bool
) -> TenantContext:
    """Return the caller that the version came from, with its tenant's `limits` and the key's as they are now.

    The key's matter only when a model is going to be called.
    """
    key = None
    if calls_models and version.key_id is not None:
        key = await uow.api_keys.get(version.key_id)
    return TenantContext(
        version.tenant_id,
        key_id=version.key_id,
        user_id=version.user_id,
        limits=limits,
        key_limits=UNLIMITED if key is None else key.limits,
    )
