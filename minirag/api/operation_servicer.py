"""OperationService: how far background work is, waiting for it, and calling it off."""

from __future__ import annotations

from contextlib import aclosing

from minirag_sdk.v1 import operation_service_pb2 as pb
from minirag_sdk.v1.operation_service_pb2_grpc import OperationServiceServicer

from minirag.api.calls import ServicerContext, current_call
from minirag.api.mapping.operations import encode_operation
from minirag.api.pages import read_id_page
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.calling_off import OperationCanceller
from minirag.services.operations import OperationService
from minirag.services.reconciling import ReconcileRequests


class OperationServicer(OperationServiceServicer):
    def __init__(
        self,
        operations: OperationService,
        canceller: OperationCanceller,
        reconciling: ReconcileRequests,
    ) -> None:
        self._operations = operations
        self._canceller = canceller
        self._reconciling = reconciling

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

    async def WaitOperation(
        self, request: pb.WaitOperationRequest, context: ServicerContext
    ) -> None:
        with RequestCheck() as check:
            operation_id = check.id("operation_id", IdKind.OPERATION, request.operation_id)
        sequence = 0
        async with aclosing(self._operations.wait(current_call().caller, operation_id)) as states:
            async for operation in states:
                sequence += 1
                await context.write(
                    pb.WaitOperationResponse(
                        sequence=sequence, operation=encode_operation(operation)
                    )
                )

    async def CancelOperation(
        self, request: pb.CancelOperationRequest, context: ServicerContext
    ) -> pb.CancelOperationResponse:
        with RequestCheck() as check:
            operation_id = check.id("operation_id", IdKind.OPERATION, request.operation_id)
            request_id = check.request_id("request_id", request.request_id)
        operation = await self._canceller.cancel(
            current_call().caller,
            operation_id,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.CancelOperationResponse(operation=encode_operation(operation))

    async def Reconcile(
        self, request: pb.ReconcileRequest, context: ServicerContext
    ) -> pb.ReconcileResponse:
        with RequestCheck() as check:
            tenant_id = check.optional_id("tenant_id", IdKind.TENANT, request.tenant_id)
            request_id = check.request_id("request_id", request.request_id)
        operation = await self._reconciling.begin(
            tenant_id,
            dry_run=request.dry_run,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.ReconcileResponse(operation=encode_operation(operation))
