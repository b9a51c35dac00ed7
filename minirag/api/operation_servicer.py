"""OperationService: how far background work is."""

from __future__ import annotations

from minirag_sdk.v1 import operation_service_pb2 as pb
from minirag_sdk.v1.operation_service_pb2_grpc import OperationServiceServicer

from minirag.api.calls import ServicerContext, current_call
from minirag.api.mapping.operations import encode_operation
from minirag.api.pages import read_id_page
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.operations import OperationService


class OperationServicer(OperationServiceServicer):
    def __init__(self, operations: OperationService) -> None:
        self._operations = operations

    async def GetOperation(
        self, request: pb.GetOperationRequest, context: ServicerContext
    ) -> pb.GetOperationResponse:
        with RequestCheck() as check:
            operation_id = check.id("operation_id", IdKind.OPERATION, request.operation_id)
        operation = await self._operations.get(current_call().caller, operation_id)
        return pb.GetOperationResponse(operation=encode_operation(operation))

    async def ListOperations(
        self, request: pb.ListOperationsRequest, context: ServicerContext
    ) -> pb.ListOperationsResponse:
        with RequestCheck() as check:
            query = read_id_page(check, request)
        page = await self._operations.list_page(
            current_call().caller, after=query.after, limit=query.limit
        )
        response = pb.ListOperationsResponse()
        response.next_page_token = query.fill(
            page, response.operations, encode_operation, lambda operation: operation.id
        )
        return response
