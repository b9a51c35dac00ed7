"""Calls over a tenant's or key's rate: refused before they are read, and streams give their place back."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest
from grpc import StatusCode
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb

from minirag.domain.access import TenantContext
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.limits import UNLIMITED, Limits
from minirag.errors import NotFound
from tests.integration.api.conftest import Metadata, RunningServer, bearer
from tests.support.client import upload_parts
from tests.support.refusals import Refusal, decode_refusal, refusal
from tests.support.waiting import until

COLLECTION = encode_id(IdKind.COLLECTION, new_id())
QUESTION = chat_pb.SendMessageRequest(content="Well?")


def caller(
    running: RunningServer, limits: Limits = UNLIMITED, key_limits: Limits = UNLIMITED
) -> Metadata:
    """The credential of a new tenant."""
    context = TenantContext(new_id(), new_id(), limits=limits, key_limits=key_limits)
    token = f"mrk_{context.tenant_id}"
    running.container.authenticator.contexts[token] = context
    return bearer(token)


def whoami(running: RunningServer, metadata: Metadata) -> Any:
    return running.tenants.WhoAmI(tenant_pb.WhoAmIRequest(), metadata=metadata, timeout=20)


async def test_calls_over_the_rate_are_refused_with_the_time_to_come_back(
    running: RunningServer,
) -> None:
    metadata = caller(running, Limits(requests_per_minute=3))

    for _ in range(3):
        await whoami(running, metadata)
    refused = await refusal(whoami(running, metadata))

    assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert refused.quota_subject == "tenant.requests_per_minute"
    assert refused.retry_seconds is not None
    assert 0 < refused.retry_seconds <= 20
    assert refused.info_count == 1
    assert "3 calls a minute" in refused.message


async def test_key_has_a_rate_beside_its_tenants_and_others_have_none(
    running: RunningServer,
) -> None:
    metadata = caller(running, Limits(requests_per_minute=100), Limits(requests_per_minute=1))

    await whoami(running, metadata)
    refused = await refusal(whoami(running, metadata))
    for _ in range(5):
        await whoami(running, running.as_tenant)

    assert refused.quota_subject == "api_key.requests_per_minute"


async def test_limit_of_nothing_tells_no_time_to_come_back(running: RunningServer) -> None:
    refused = await refusal(whoami(running, caller(running, Limits(requests_per_minute=0))))

    assert (refused.reason, refused.retry_seconds) == ("RATE_LIMITED", None)


async def test_call_that_is_refused_for_its_scope_counts_as_well(running: RunningServer) -> None:
    metadata = caller(running, Limits(requests_per_minute=1))
    request = tenant_pb.ListTenantsRequest()

    first = await refusal(running.tenants.ListTenants(request, metadata=metadata))
    second = await refusal(running.tenants.ListTenants(request, metadata=metadata))

    assert (first.reason, second.reason) == ("PLATFORM_KEY_REQUIRED", "RATE_LIMITED")


async def test_upload_over_the_rate_is_refused_before_its_body_is_read(
    running: RunningServer,
) -> None:
    metadata = caller(running, Limits(requests_per_minute=0))
    parts = upload_parts(COLLECTION, b"x" * 1_000_000)

    refused = await refusal(running.documents.UploadDocument(parts, metadata=metadata, timeout=20))

    assert refused.reason == "RATE_LIMITED"
    assert running.container.documents.started == 0


async def test_tenant_that_does_not_listen_holds_nobody_up(running: RunningServer) -> None:
    """`make noisy` measures what it costs; here is only shown that others are served at once."""
    noisy = caller(running, Limits(requests_per_minute=1))
    await whoami(running, noisy)
    others = [running.as_tenant for _ in range(20)]

    calls = [asyncio.ensure_future(refusal(whoami(running, noisy))) for _ in range(150)]
    served = await asyncio.gather(*(whoami(running, each) for each in others))
    refused = await asyncio.gather(*calls)

    assert all(answer.HasField("tenant") for answer in served)
    assert {each.reason for each in refused} == {"RATE_LIMITED"}


# -- streams


async def ask(running: RunningServer, metadata: Metadata) -> Refusal | None:
    """Read an answer to its end, or return why it was refused."""
    call = running.chats.SendMessage(QUESTION, metadata=metadata, timeout=20)
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return decode_refusal(error)
    return None


async def test_streams_over_the_limit_are_refused_and_other_calls_are_not(
    running: RunningServer,
) -> None:
    metadata = caller(running, Limits(concurrent_streams=1))
    gate = running.container.answers.gate = asyncio.Event()
    held = running.chats.SendMessage(QUESTION, metadata=metadata, timeout=20)
    await held.read()

    refused = await ask(running, metadata)
    await whoami(running, metadata)
    gate.set()

    assert refused is not None
    assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert refused.quota_subject == "tenant.concurrent_streams"
    assert refused.retry_seconds == 1.0


@pytest.mark.parametrize("ending", ["whole", "failed", "crashed", "left", "bad request"])
async def test_place_of_a_stream_is_given_back_however_it_ends(
    running: RunningServer, ending: str
) -> None:
    metadata = caller(running, Limits(concurrent_streams=1), Limits(concurrent_streams=1))
    answers = running.container.answers
    if ending == "failed":
        answers.fails_with = NotFound("assistant", "ast_1")
    if ending == "crashed":
        answers.fails_with = RuntimeError("boom")
    if ending == "left":
        answers.gate = asyncio.Event()

    if ending == "bad request":
        empty = running.chats.SendMessage(chat_pb.SendMessageRequest(), metadata=metadata)
        await refusal(empty.read())
    elif ending == "left":
        call = running.chats.SendMessage(QUESTION, metadata=metadata)
        await call.read()
        call.cancel()
        await until(lambda: answers.endings, within=20)
        answers.gate.set()
    else:
        await ask(running, metadata)
    answers.fails_with = None

    if ending == "left":
        # What the client sees of its own cancelling says nothing about the server.
        await until(lambda: not running.server._interceptor.running, within=20)
    assert await ask(running, metadata) is None


async def test_uploads_and_watches_are_streams_as_well(running: RunningServer) -> None:
    metadata = caller(running, Limits(concurrent_streams=1))
    watch = running.documents.WatchDocuments(
        document_pb.WatchDocumentsRequest(), metadata=metadata, timeout=20
    )
    await watch.read()

    parts = upload_parts(COLLECTION, b"content")
    refused = await refusal(running.documents.UploadDocument(parts, metadata=metadata, timeout=20))
    watch.cancel()

    assert refused.quota_subject == "tenant.concurrent_streams"
