"""Tenants and their API keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from minirag.domain.limits import Limits
from minirag.domain.tenants import ApiKey, Tenant, TenantState


class TenantRepository(Protocol):
    """Platform reach sees every tenant; tenant reach sees its own row only."""

    async def add(self, tenant: Tenant) -> None:
        """Raises `AlreadyExists` when the slug is taken."""

    async def get(self, tenant_id: UUID) -> Tenant | None: ...

    async def list_page(self, *, after: UUID | None, limit: int) -> list[Tenant]: ...

    async def update(
        self,
        tenant_id: UUID,
        *,
        display_name: str | None = None,
        state: TenantState | None = None,
        if_revision: int | None = None,
    ) -> Tenant | None:
        """Return the changed tenant, or None if there is none or it is DELETING or ERASING.

        Raises `Conflict` on another revision.
        """

    async def mark_deleting(
        self, tenant_id: UUID, *, purge_after: timedelta, if_revision: int | None = None
    ) -> Tenant | None:
        """To DELETING, for `purge_after`; None when it was there before. `Conflict` on another revision."""

    async def hasten_deletion(self, tenant_id: UUID) -> bool:
        """End the grace period now; False when none is running."""

    async def restore(self, tenant_id: UUID) -> Tenant | None:
        """From DELETING back to the state before; None when it isn't in its grace period."""

    async def begin_erasure(self, tenant_id: UUID) -> bool:
        """From DELETING (or ERASING already) to ERASING; False in a grace period, or when it was restored
        or is gone."""

    async def set_limits(
        self, tenant_id: UUID, changes: Mapping[str, int | float | None]
    ) -> Tenant | None:
        """Set limits by their names, None to none; others stay. None for no such tenant."""

    async def remove(self, tenant_id: UUID) -> None:
        """Delete the row and everything that hangs on it in Postgres. Works in tenant reach too."""


class ApiKeyRepository(Protocol):
    async def add(self, key: ApiKey) -> None: ...

    async def get(self, key_id: UUID) -> ApiKey | None: ...

    async def list_page(self, *, after: UUID | None, limit: int) -> list[ApiKey]: ...

    async def update(
        self, key_id: UUID, *, display_name: str | None = None, limits: Limits | None = None
    ) -> ApiKey | None:
        """Change what isn't None; None when there is no such key."""

    async def rotate(
        self, key_id: UUID, secret_digest: bytes, *, previous_until: datetime
    ) -> ApiKey | None:
        """Make this the secret, and the one so far the previous; None for a revoked or unknown key."""

    async def revoke(self, key_id: UUID, now: datetime) -> ApiKey | None:
        """Idempotent: an already revoked key keeps its first revoke_time."""

    async def touch(self, key_id: UUID, now: datetime) -> None:
        """Record a use; cheap, called at most once a minute per key."""
