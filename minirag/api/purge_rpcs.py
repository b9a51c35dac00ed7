"""DocumentService: erasing many documents at once."""

from __future__ import annotations

from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call, current_tenant
from minirag.api.mapping.documents import STATES_BY_NUMBER
from minirag.api.mapping.metadata import decode_metadata
from minirag.api.mapping.operations import encode_operation
from minirag.api.request_keys import request_key
from minirag.api.upload_rpcs import MAX_NAME
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.purging import PurgeFilter
from minirag.services.purging import PurgeService


class PurgeRpcs:
    _purges: PurgeService

    async def PurgeDocuments(
        self, request: pb.PurgeDocumentsRequest, context: ServicerContext
    ) -> pb.PurgeDocumentsResponse:
        narrow = request.filter
        with RequestCheck() as check:
            wanted = PurgeFilter(
                collection_id=check.id("collection_id", IdKind.COLLECTION, request.collection_id),
                states=check.choices("filter.states", narrow.states, STATES_BY_NUMBER),
                metadata=decode_metadata(check, "filter.metadata", narrow.metadata),
                external_id_prefix=check.text(
                    "filter.external_id_prefix", narrow.external_id_prefix, longest=MAX_NAME
                ),
                updated_before=check.time("filter.updated_before", narrow.updated_before)
                if narrow.HasField("updated_before")
                else None,
            )
            request_id = check.request_id("request_id", request.request_id)
        if request.force:
            purge = await self._purges.begin(
                current_tenant(),
                wanted,
                request=request_key(current_call().method, request, request_id),
            )
        else:
            purge = await self._purges.preview(current_tenant(), wanted)
        operation = purge.operation
        return pb.PurgeDocumentsResponse(
            document_count=purge.document_count,
            sample_document_ids=[encode_id(IdKind.DOCUMENT, each) for each in purge.sample_ids],
            operation=None if operation is None else encode_operation(operation),
        )
