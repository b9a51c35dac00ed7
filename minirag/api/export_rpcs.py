"""TenantService: a tenant's archive."""

from __future__ import annotations

from contextlib import aclosing

from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_tenant
from minirag.services.exporting import ArchiveSummary, ExportService


class ExportRpcs:
    _exports: ExportService

    async def ExportTenant(self, request: pb.ExportTenantRequest, context: ServicerContext) -> None:
        sequence = 0
        parts = self._exports.export(current_tenant(), omit_files=request.omit_files)
        async with aclosing(parts):
            async for part in parts:
                sequence += 1
                if isinstance(part, ArchiveSummary):
                    completed = pb.ExportCompleted(
                        byte_size=part.byte_size, sha256=part.sha256, counts=part.counts
                    )
                    await context.write(
                        pb.ExportTenantResponse(sequence=sequence, completed=completed)
                    )
                else:
                    await context.write(pb.ExportTenantResponse(sequence=sequence, data=part))
