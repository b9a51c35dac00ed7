"""Calls that were begun with a credential that held, and go on when it doesn't any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import grpc.aio
import pytest
from grpc import StatusCode
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.api.interceptors import call_interceptor, rechecks
from minirag.domain.access import TenantContext
from minirag.domain.chats import Delta
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.tenants import Scope
from minirag.errors import Unauthenticated
from tests.integration.api.conftest import RunningServer, bearer, serve
from tests.support.fake_services import make_container
from tests.support.refusals import refusal
from tests.support.waiting import until

REVOKED = Unauthenticated("the key is unknown or revoked: use another one")
LIST_KEYS = "/minirag.v1.TenantService/ListApiKeys"


class HeldBack:
    """A unary call whose headers are sent at once, and its request when told to."""

    def __init__(self, running: RunningServer, key: str) -> None:
        self._may_go = asyncio.Event()
        method = running.channel.stream_unary(
            LIST_KEYS,
            request_serializer=pb.ListApiKeysRequest.SerializeToString,
            response_deserializer=pb.ListApiKeysResponse.FromString,
        )
        self._call = method(self._requests(), metadata=bearer(key), timeout=20)

    async def _requests(self) -> AsyncIterator[pb.ListApiKeysRequest]:
        await self._may_go.wait()
        yield pb.ListApiKeysRequest()

    def send(self) -> grpc.aio.StreamUnaryCall[pb.ListApiKeysRequest, pb.ListApiKeysResponse]:
        self._may_go.set()
        return self._call


@pytest.fixture
async def held_back(running: RunningServer, monkeypatch: pytest.MonkeyPatch) -> HeldBack:
    """A call whose credential was checked, and found good."""
    monkeypatch.setattr(call_interceptor, "LATE_SECONDS", 0.0)
    authenticator = running.container.authenticator
    key = authenticator.key_with(Scope.MANAGE)
    check, checked = authenticator.authenticate, asyncio.Event()

    async def note(authorization: str | None) -> object:
        try:
            return await check(authorization)
        finally:
            checked.set()

    monkeypatch.setattr(authenticator, "authenticate", note)
    call = HeldBack(running, key)
    await until(checked.is_set, within=10)
    return call


async def test_request_that_comes_after_its_key_was_revoked_is_refused(
    running: RunningServer, held_back: HeldBack
) -> None:
    running.container.authenticator.fails_with = REVOKED

    refused = await refusal(held_back.send())

    assert (refused.code, refused.reason) == (StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")


async def test_request_that_comes_after_its_caller_has_lost_the_scope_is_refused(
    running: RunningServer, held_back: HeldBack
) -> None:
    contexts = running.container.authenticator.contexts
    for token, context in contexts.items():
        if isinstance(context, TenantContext):
            contexts[token] = TenantContext(
                context.tenant_id, context.key_id, frozenset({Scope.READ})
            )

    refused = await refusal(held_back.send())

    assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


async def test_request_that_comes_late_is_served_while_its_key_holds(held_back: HeldBack) -> None:
    response = await held_back.send()

    assert isinstance(response, pb.ListApiKeysResponse)


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rechecks, "RECHECK_SECONDS", 0.02)


@pytest.mark.usefixtures("quick_looks")
async def test_upload_under_way_ends_when_its_key_is_revoked(running: RunningServer) -> None:
    collection_id = encode_id(IdKind.COLLECTION, new_id())

    async def parts() -> AsyncIterator[document_pb.UploadDocumentRequest]:
        header = document_pb.UploadDocumentHeader(collection_id=collection_id)
        yield document_pb.UploadDocumentRequest(header=header)
        yield document_pb.UploadDocumentRequest(data=b"a beginning")
        await asyncio.Event().wait()

    upload = running.documents.UploadDocument(parts(), metadata=running.as_tenant, timeout=20)
    await until(lambda: running.container.documents.received > 0, within=10)

    running.container.authenticator.fails_with = REVOKED
    refused = await refusal(upload)

    assert (refused.code, refused.reason) == (StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")
    assert not running.container.documents.uploads


class EndlessAnswers:
    """An answer that begins, and whose model then takes its time."""

    def __init__(self) -> None:
        self.is_closed = False

    async def answer(self, *_: object, **__: object) -> AsyncGenerator[Delta, None]:
        try:
            yield Delta("a beginning")
            await asyncio.Event().wait()
        finally:
            self.is_closed = True


@pytest.mark.usefixtures("quick_looks")
async def test_answer_under_way_ends_when_its_key_is_revoked() -> None:
    container = make_container()
    answers = EndlessAnswers()
    container.answers = answers  # type: ignore[assignment]  # of which the server wants `answer`
    async with serve(container) as running:
        answer = running.chats.SendMessage(
            chat_pb.SendMessageRequest(content="who?"), metadata=running.as_tenant, timeout=20
        )
        await answer.read()

        container.authenticator.fails_with = REVOKED
        refused = await refusal(answer.read())

    assert (refused.code, refused.reason) == (StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")
    assert answers.is_closed


class EndlessExport:
    """An archive that begins, and goes on when its reader is ready: never."""

    async def export(
        self, context: TenantContext, *, omit_files: bool
    ) -> AsyncGenerator[bytes, None]:
        yield b"a beginning"
        await asyncio.Event().wait()


@pytest.mark.usefixtures("quick_looks")
async def test_export_under_way_ends_when_its_key_is_revoked() -> None:
    container = make_container()
    container.exports = EndlessExport()
    async with serve(container) as running:
        export = running.tenants.ExportTenant(
            pb.ExportTenantRequest(), metadata=running.as_tenant, timeout=20
        )
        await export.read()

        container.authenticator.fails_with = REVOKED
        refused = await refusal(export.read())

    assert (refused.code, refused.reason) == (StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")
