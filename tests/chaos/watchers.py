"""A watch of a tenant's documents that goes on by its tokens, whatever happens to the servers."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
from minirag_sdk.v1 import document_service_pb2 as pb

from tests.chaos.ledger import Tally
from tests.chaos.load import PAUSE, Callers


class Watcher:
    """What a client knows that deals with each event once."""

    def __init__(self, callers: Callers, tally: Tally) -> None:
        self._callers = callers
        self._tally = tally
        self._token = ""
        self._deleted: set[str] = set()
        self.etags: dict[str, str] = {}
        """By document: the etag of its last change."""
        self.resumed = 0

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            client = await self._callers.pick()
            request = pb.WatchDocumentsRequest(resume_token=self._token)
            try:
                async for event in client.documents.WatchDocuments(request):
                    self._take(event)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.OUT_OF_RANGE:
                    self._tally.faults.append(f"watch: {error.details()}")
                    self._token = ""
            self.resumed += 1
            await asyncio.sleep(PAUSE)

    def _take(self, event: pb.WatchDocumentsResponse) -> None:
        self._token = event.resume_token
        match event.WhichOneof("event"):
            case "document":
                document = event.document
                if self.etags.get(document.id) == document.etag or document.id in self._deleted:
                    self._tally.duplicates.append(f"watch told of {document.id} again")
                self.etags[document.id] = document.etag
            case "deleted_document_id":
                if event.deleted_document_id in self._deleted:
                    self._tally.duplicates.append(
                        f"watch told of the end of {event.deleted_document_id} again"
                    )
                self._deleted.add(event.deleted_document_id)
                self.etags.pop(event.deleted_document_id, None)
