"""A client that has its tenant's collection embedded anew, over and over, through it all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import grpc
import grpc.aio
from minirag_sdk.v1 import document_service_pb2 as pb
from minirag_sdk.v1 import operation_service_pb2 as operation_pb

from tests.chaos.ledger import Tally
from tests.chaos.load import Call, Callers
from tests.support.client import Client

LONGEST_REST = 3.0
CANCEL_SHARE = 0.1
DISCARD_SHARE = 0.5
# It asks for what may not be possible any more, as workers go on meanwhile.
REFUSED = {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED}


class Reembedder:
    def __init__(
        self, callers: Callers, collection_id: str, models: Sequence[str], tally: Tally
    ) -> None:
        """`models` are those to choose from."""
        self._callers = callers
        self._collection_id = collection_id
        self._models = models
        self._tally = tally

    async def run(self, stop: asyncio.Event) -> None:
        """Begin, call off, switch and discard until `stop` is set."""
        chance = self._callers.chance
        while not stop.is_set():
            collection = await self._read()
            standby = collection.standby if collection.HasField("standby") else None
            if standby is None:
                others = [each for each in self._models if each != collection.embedding_model]
                await self._begin(chance.choice(others), switch=chance.random() < 0.5)
            elif not standby.is_complete:
                if chance.random() < CANCEL_SHARE:
                    await self._call_off(standby.operation_id)
            elif chance.random() < DISCARD_SHARE:
                await self._discard()
            else:
                await self._switch()
            await asyncio.sleep(chance.uniform(0, LONGEST_REST))

    async def _read(self) -> pb.Collection:
        request = pb.GetCollectionRequest(collection_id=self._collection_id)
        answer = await self._callers.insist(
            "read collection", lambda client: client.documents.GetCollection(request)
        )
        collection: pb.Collection = answer.collection
        return collection

    async def _begin(self, model: str, *, switch: bool) -> None:
        request = pb.ReembedCollectionRequest(
            collection_id=self._collection_id,
            embedding_model=model,
            switch_when_built=switch,
            request_id=str(uuid4()),
        )
        await self._ask("reembed", lambda client: client.documents.ReembedCollection(request))

    async def _switch(self) -> None:
        request = pb.SwitchEmbeddingsRequest(
            collection_id=self._collection_id, request_id=str(uuid4())
        )
        await self._ask("switch", lambda client: client.documents.SwitchEmbeddings(request))

    async def _discard(self) -> None:
        request = pb.DiscardEmbeddingsRequest(
            collection_id=self._collection_id, request_id=str(uuid4())
        )
        await self._ask("discard", lambda client: client.documents.DiscardEmbeddings(request))

    async def _call_off(self, operation_id: str) -> None:
        request = operation_pb.CancelOperationRequest(
            operation_id=operation_id, request_id=str(uuid4())
        )
        await self._ask("call off", lambda client: client.operations.CancelOperation(request))

    async def _ask(self, what: str, call: Call) -> None:
        async def attempt(client: Client) -> bool:
            try:
                await call(client)
            except grpc.aio.AioRpcError as error:
                if error.code() not in REFUSED:
                    raise
                return False
            return True

        if await self._callers.insist(what, attempt):
            self._tally.reembeddings[what] += 1
