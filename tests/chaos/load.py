"""Clients that upload, update and delete through it all, and repeat what wasn't acknowledged."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio
from google.protobuf.field_mask_pb2 import FieldMask
from minirag_sdk.v1 import document_service_pb2 as pb

from tests.chaos.ledger import Account, Slot, Tally
from tests.support.client import Client, upload_parts

ATTEMPT_SECONDS = 8.0
"""A server may be stopped: its answer isn't waited for longer."""
PAUSE = 0.2
LONGEST_REST = 0.6
PARAGRAPHS = 6
LONG_SHARE, LONG_PARAGRAPHS = 0.15, 100
"""Some documents take a while, so that a worker that is struck has something in its hands."""
TEXT = "the ferry leaves at noon from the harbour and is back before the lighthouse is lit"
# What a client must expect of a deployment that is struck; anything else is a fault.
RETRIED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}
Call = Callable[[Client], Awaitable[Any]]


@dataclass
class Callers:
    """A tenant's clients at whatever servers are there."""

    key: str
    tenant_id: str
    addresses: Callable[[], list[str]]
    tally: Tally
    chance: random.Random
    _clients: dict[str, Client]

    @classmethod
    def of(
        cls, client: Client, addresses: Callable[[], list[str]], tally: Tally, seed: str
    ) -> Callers:
        chance = random.Random(seed)
        return cls(client.key, client.tenant_id, addresses, tally, chance, {})

    async def pick(self) -> Client:
        """A client at one of the servers that are ready."""
        known = sorted(self.addresses())
        if not known:
            await asyncio.sleep(PAUSE)
            return await self.pick()
        for gone in set(self._clients) - set(known):
            await self._clients.pop(gone).close()
        address = self.chance.choice(known)
        if address not in self._clients:
            self._clients[address] = Client(address, self.key, self.tenant_id)
        return self._clients[address]

    async def insist(self, what: str, call: Call) -> Any:
        """Make a call until it is acknowledged, each time at any server."""
        while True:
            client = await self.pick()
            self.tally.attempts += 1
            try:
                return await asyncio.wait_for(call(client), ATTEMPT_SECONDS)
            except TimeoutError:
                self.tally.refusals["no answer"] += 1
            except grpc.aio.AioRpcError as error:
                self.tally.refusals[error.code().name] += 1
                if error.code() not in RETRIED:
                    fault = f"{what}: {error.code().name} {error.details()}"
                    self.tally.faults.append(fault)
            await asyncio.sleep(PAUSE)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()


class Load:
    """One client's work on its own slots, one call after the other, until `stop` is set."""

    _numbers = count(1)

    def __init__(self, callers: Callers, account: Account, slots: list[Slot], tally: Tally) -> None:
        self._callers = callers
        self._account = account
        self._slots = slots
        self._tally = tally
        self._chance = callers.chance

    async def run(self, stop: asyncio.Event, go: asyncio.Event) -> None:
        """Work until `stop` is set, while `go` is."""
        while not stop.is_set():
            await go.wait()
            slot = self._chance.choice(self._slots)
            action = self._chance.random()
            if not slot.document_id or action < 0.5:
                await self._upload(slot)
            elif action < 0.75:
                await self._update(slot)
            else:
                await self._delete(slot)
            self._tally.acknowledged += 1
            await asyncio.sleep(self._chance.uniform(0, LONGEST_REST))

    async def _upload(self, slot: Slot) -> None:
        marker = f"word{next(self._numbers)}x"
        is_long = self._chance.random() < LONG_SHARE
        most = LONG_PARAGRAPHS if is_long else PARAGRAPHS
        text = _write(marker, 1 + self._chance.randrange(most))
        metadata = {"marker": marker, "number": self._chance.randrange(1000)}
        about = {
            "external_id": slot.external_id,
            "metadata": metadata,
            "request_id": str(uuid4()),
        }
        collection_id = self._account.collection_id
        is_stream = self._chance.random() < 0.3

        async def call(client: Client) -> pb.Document:
            if is_stream:
                parts = upload_parts(collection_id, text.encode(), part=200, **about)
                answer = await client.documents.UploadDocument(parts)
            else:
                request = pb.CreateDocumentRequest(collection_id=collection_id, text=text, **about)
                answer = await client.documents.CreateDocument(request)
            document: pb.Document = answer.document
            return document

        document = await self._callers.insist("upload", call)
        self._tally.uploads += 1
        slot.uploads += 1
        if slot.document_id not in ("", document.id):
            self._tally.duplicates.append(f"{slot.external_id} is {document.id} as well")
        slot.document_id = document.id
        slot.marker, slot.metadata = marker, metadata

    async def _update(self, slot: Slot) -> None:
        metadata = {"marker": slot.marker, "number": self._chance.randrange(1000), "new": True}
        request_id = str(uuid4())

        async def call(client: Client) -> object:
            document = pb.Document(id=slot.document_id)
            document.metadata.update(metadata)
            return await client.documents.UpdateDocument(
                pb.UpdateDocumentRequest(
                    document=document,
                    update_mask=FieldMask(paths=["metadata"]),
                    request_id=request_id,
                )
            )

        await self._callers.insist("update", call)
        slot.metadata = metadata

    async def _delete(self, slot: Slot) -> None:
        request = pb.DeleteDocumentRequest(document_id=slot.document_id, request_id=str(uuid4()))
        await self._callers.insist(
            "delete", lambda client: client.documents.DeleteDocument(request)
        )
        self._account.deleted.append(slot.document_id)
        slot.document_id, slot.uploads, slot.marker, slot.metadata = "", 0, "", {}


def _write(marker: str, paragraphs: int) -> str:
    """A text with the marker in every paragraph; each fills a chunk."""
    return "\n\n".join(f"{marker} paragraph {number}: {TEXT}." for number in range(paragraphs))
