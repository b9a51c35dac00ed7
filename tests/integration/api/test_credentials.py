"""Who may call what, over the wire: for every RPC of the contract, streams included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from grpc import StatusCode
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb

from minirag.api.method_table import METHOD_TABLE, Caller
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.people import UserRole
from minirag.domain.tenants import Scope
from minirag.errors import Unavailable
from minirag.services.access import Authenticator
from minirag.services.background import BackgroundTasks
from tests.integration.api.conftest import (
    Metadata,
    RunningServer,
    bearer,
    open_server,
    serve,
)
from tests.integration.api.contract import NOT_A_MESSAGE, RPCS, Rpc
from tests.support.endless_uploads import send_until_refused
from tests.support.fake_services import PLATFORM_KEY, make_container
from tests.support.refusals import refusal

SCOPED = [rpc for rpc in RPCS if rpc.rule.scope is not None]
FOR_PLATFORM = [rpc for rpc in RPCS if rpc.rule.caller is Caller.PLATFORM]
FOR_USERS = [rpc for rpc in RPCS if rpc.rule.caller is Caller.USER]
OPEN = [rpc for rpc in RPCS if rpc.rule.caller is Caller.OPEN]
GUARDED = [rpc for rpc in RPCS if rpc.rule.caller is not Caller.OPEN]
FOR_TENANTS = [rpc for rpc in RPCS if rpc.rule.caller is Caller.TENANT]


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[RunningServer]:
    """One server for the tests that ask it about each RPC."""
    async with open_server() as opened:
        yield opened


@pytest.fixture
async def checking() -> AsyncIterator[RunningServer]:
    """A server with the real authenticator, whose database must not be asked."""
    container = make_container()
    container.authenticator = Authenticator(  # type: ignore[assignment]  # the real one
        lambda *_: pytest.fail("the database was asked"),  # type: ignore[arg-type]  # never used
        BackgroundTasks(),
        platform_key=PLATFORM_KEY,
        trust_seconds=0,
    )
    async with serve(container) as opened:
        yield opened


def test_the_descriptors_and_the_method_table_name_the_same_rpcs() -> None:
    kinds = {(rpc.client_streams, rpc.server_streams) for rpc in RPCS}

    assert {rpc.path for rpc in RPCS} == set(METHOD_TABLE)
    assert kinds == {(False, False), (False, True), (True, False)}


async def test_signing_in_needs_no_credential(running: RunningServer) -> None:
    """Also one that doesn't hold does no harm."""
    for rpc in OPEN:
        for metadata in ((), bearer("mrt_expired")):
            read = await refusal(rpc.call(running.channel, NOT_A_MESSAGE, metadata))
            assert read.code is StatusCode.INVALID_ARGUMENT, rpc


async def test_rpcs_for_users_refuse_keys(running: RunningServer) -> None:
    user = bearer(running.container.authenticator.user_with(UserRole.VIEWER))

    for rpc in FOR_USERS:
        for metadata in (running.as_tenant, running.as_platform):
            refused = await refusal(rpc.call(running.channel, NOT_A_MESSAGE, metadata))
            assert refused.code is StatusCode.PERMISSION_DENIED, rpc
            assert refused.reason == "USER_REQUIRED"
        admitted = await refusal(rpc.call(running.channel, NOT_A_MESSAGE, user))
        assert admitted.code is StatusCode.INVALID_ARGUMENT, rpc


@pytest.mark.parametrize("role", list(UserRole))
async def test_every_rpc_of_a_tenant_needs_the_users_role(
    running: RunningServer, role: UserRole
) -> None:
    user = bearer(running.container.authenticator.user_with(role))

    for rpc in SCOPED:
        least = rpc.rule.least_role
        assert least is not None
        answer = await refusal(rpc.call(running.channel, NOT_A_MESSAGE, user))
        if role.covers(least):
            assert answer.code is StatusCode.INVALID_ARGUMENT, rpc
        else:
            assert answer.code is StatusCode.PERMISSION_DENIED, rpc
            assert (answer.reason, answer.metadata) == ("ROLE_MISSING", {"role": least.value})


@pytest.mark.parametrize("rpc", GUARDED, ids=str)
async def test_every_rpc_needs_a_credential(shared: RunningServer, rpc: Rpc) -> None:
    refused = await refusal(rpc.call(shared.channel, NOT_A_MESSAGE))

    assert (refused.code, refused.reason) == (StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING")
    assert (refused.domain, refused.info_count) == ("minirag", 1)


@pytest.mark.parametrize("rpc", SCOPED, ids=str)
async def test_every_scoped_rpc_needs_its_very_scope(shared: RunningServer, rpc: Rpc) -> None:
    """Admitted means that the request is read: these bytes are then refused for what they are."""
    scope = rpc.rule.scope
    assert scope is not None
    needed = set(Scope) if rpc.rule.needs_every_scope else {scope}
    right = bearer(shared.container.authenticator.key_with(*needed))
    wrong = bearer(shared.container.authenticator.key_with(*(set(Scope) - {scope})))

    refused = await refusal(rpc.call(shared.channel, NOT_A_MESSAGE, wrong))
    admitted = await refusal(rpc.call(shared.channel, NOT_A_MESSAGE, right))

    assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    assert refused.metadata == {"scope": scope.value}
    assert admitted.code is StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("rpc", FOR_PLATFORM, ids=str)
async def test_platform_rpcs_refuse_a_tenants_key(shared: RunningServer, rpc: Rpc) -> None:
    refused = await refusal(rpc.call(shared.channel, NOT_A_MESSAGE, shared.as_tenant))
    admitted = await refusal(rpc.call(shared.channel, NOT_A_MESSAGE, shared.as_platform))

    assert (refused.code, refused.reason) == (
        StatusCode.PERMISSION_DENIED,
        "PLATFORM_KEY_REQUIRED",
    )
    assert admitted.code is StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("rpc", FOR_TENANTS, ids=str)
async def test_tenants_rpcs_refuse_the_platform_key(shared: RunningServer, rpc: Rpc) -> None:
    refused = await refusal(rpc.call(shared.channel, NOT_A_MESSAGE, shared.as_platform))

    assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "TENANT_KEY_REQUIRED")


async def test_keys_are_made_by_the_platform_and_by_tenants_that_manage(
    running: RunningServer,
) -> None:
    request = tenant_pb.CreateApiKeyRequest(scopes=[tenant_pb.SCOPE_READ])
    named = tenant_pb.CreateApiKeyRequest(
        tenant_id=encode_id(IdKind.TENANT, new_id()), scopes=[tenant_pb.SCOPE_READ]
    )

    await running.tenants.CreateApiKey(request, metadata=running.as_tenant)
    await running.tenants.CreateApiKey(named, metadata=running.as_platform)

    own, other = (tenant_id for _, tenant_id, _ in running.container.api_keys.created)
    assert own == running.container.authenticator.tenant_id
    assert encode_id(IdKind.TENANT, other) == named.tenant_id


async def test_whoami_answers_whoever_calls(running: RunningServer) -> None:
    request = tenant_pb.WhoAmIRequest()

    tenant = await running.tenants.WhoAmI(request, metadata=running.as_tenant)
    platform = await running.tenants.WhoAmI(request, metadata=running.as_platform)
    token = running.container.authenticator.user_with(UserRole.EDITOR)
    user = await running.tenants.WhoAmI(request, metadata=bearer(token))

    assert user.WhichOneof("principal") == "user"
    assert user.user.role == "EDITOR"
    assert user.user.scopes == [tenant_pb.SCOPE_READ, tenant_pb.SCOPE_INGEST, tenant_pb.SCOPE_CHAT]
    assert user.user.HasField("expire_time")
    assert tenant.WhichOneof("principal") == "tenant"
    assert platform.WhichOneof("principal") == "platform"


async def test_refused_calls_reach_no_service(running: RunningServer) -> None:
    container = running.container
    header = document_pb.UploadDocumentHeader(collection_id=encode_id(IdKind.COLLECTION, new_id()))
    for metadata in ((), bearer("mrk_unknown"), running.as_platform):
        refusals = [
            await refusal(
                running.documents.CreateCollection(
                    document_pb.CreateCollectionRequest(display_name="Books"), metadata=metadata
                )
            ),
            await refusal(
                running.documents.UploadDocument(
                    iter([document_pb.UploadDocumentRequest(header=header)]), metadata=metadata
                )
            ),
            await refusal(
                running.chats.SendMessage(
                    chat_pb.SendMessageRequest(content="Why?"), metadata=metadata
                ).read()
            ),
            await refusal(
                running.documents.WatchDocuments(
                    document_pb.WatchDocumentsRequest(until_final=True), metadata=metadata
                ).read()
            ),
        ]
        assert {one.code for one in refusals} <= {
            StatusCode.UNAUTHENTICATED,
            StatusCode.PERMISSION_DENIED,
        }

    assert container.collections.collections == []
    assert (container.documents.started, container.documents.received) == (0, 0)
    assert (container.answers.questions, container.answers.endings) == ([], [])
    assert container.watcher.watches == 0


@pytest.mark.parametrize("rpc", GUARDED, ids=str)
async def test_calls_are_refused_although_no_request_was_sent(
    shared: RunningServer, rpc: Rpc
) -> None:
    """On the wire every call may send its request late; here it never comes."""

    is_answered = asyncio.Event()

    async def send_nothing() -> AsyncIterator[bytes]:
        await is_answered.wait()
        return
        yield

    call = shared.channel.stream_stream(rpc.path)(send_nothing(), timeout=10)

    refused = await refusal(call.read())
    is_answered.set()

    assert refused.code is StatusCode.UNAUTHENTICATED


async def test_an_upload_is_refused_at_once_although_the_client_goes_on(
    running: RunningServer,
) -> None:
    header = document_pb.UploadDocumentHeader()

    refused, sent = await send_until_refused(
        f"127.0.0.1:{running.port}", header, bearer("mrk_unknown")
    )

    assert refused.code is StatusCode.UNAUTHENTICATED
    assert running.container.documents.started == 0
    # A 64 KiB window and what lies in buffers, not an upload's worth.
    assert sent < 16 * 1024 * 1024


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "CREDENTIAL_MISSING"),
        ("Bearer", "CREDENTIAL_INVALID"),
        ("Bearer ", "CREDENTIAL_INVALID"),
        (PLATFORM_KEY, "CREDENTIAL_INVALID"),
        (f"Basic {PLATFORM_KEY}", "CREDENTIAL_INVALID"),
        (f"Bearer {PLATFORM_KEY}x", "CREDENTIAL_INVALID"),
        (f"Bearer {PLATFORM_KEY[:-1]}", "CREDENTIAL_INVALID"),
        (f"Bearer {PLATFORM_KEY}, Bearer {PLATFORM_KEY}", "CREDENTIAL_INVALID"),
        ("Bearer mrk_", "CREDENTIAL_INVALID"),
        ("Bearer mrk_" + "0" * 32 + "_" + "a" * 56, "CREDENTIAL_INVALID"),
        ("Bearer " + "x" * 8000, "CREDENTIAL_INVALID"),
    ],
)
async def test_malformed_credentials_are_refused(
    checking: RunningServer, value: str, reason: str
) -> None:
    call = checking.tenants.WhoAmI(tenant_pb.WhoAmIRequest(), metadata=(("authorization", value),))

    refused = await refusal(call)

    assert (refused.code, refused.reason) == (StatusCode.UNAUTHENTICATED, reason)
    assert PLATFORM_KEY not in refused.message


async def test_the_scheme_is_read_in_any_case(checking: RunningServer) -> None:
    metadata = (("authorization", f"bEARER {PLATFORM_KEY}"),)

    answer = await checking.tenants.WhoAmI(tenant_pb.WhoAmIRequest(), metadata=metadata)

    assert answer.WhichOneof("principal") == "platform"


@pytest.mark.parametrize("second", [PLATFORM_KEY, "mrk_other", ""])
async def test_two_credentials_are_refused_even_when_they_agree(
    running: RunningServer, second: str
) -> None:
    for metadata in (
        (*running.as_platform, *bearer(second)),
        (*bearer(second), *running.as_platform),
    ):
        refused = await refusal(
            running.tenants.WhoAmI(tenant_pb.WhoAmIRequest(), metadata=metadata)
        )

        assert (refused.code, refused.reason) == (
            StatusCode.UNAUTHENTICATED,
            "CREDENTIAL_INVALID",
        )
        assert "more than one" in refused.message


async def test_a_binary_header_is_not_the_credential(running: RunningServer) -> None:
    binary = (("authorization-bin", f"Bearer {PLATFORM_KEY}".encode()),)
    request = tenant_pb.WhoAmIRequest()

    refused = await refusal(running.tenants.WhoAmI(request, metadata=binary))
    admitted = await running.tenants.WhoAmI(request, metadata=(*running.as_platform, *binary))

    assert refused.reason == "CREDENTIAL_MISSING"
    assert admitted.WhichOneof("principal") == "platform"


async def test_bytes_that_are_not_text_are_no_credential(checking: RunningServer) -> None:
    """gRPC's own client refuses to send them."""
    headers = [
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        (b"authorization", b"Bearer " + PLATFORM_KEY.encode() + b"\xff\xfe"),
    ]
    url = f"http://127.0.0.1:{checking.port}/minirag.v1.TenantService/WhoAmI"

    async with httpx.AsyncClient(http1=False, http2=True) as client:
        response = await client.post(url, headers=headers, content=b"\0\0\0\0\0")

    assert response.headers["grpc-status"] == str(StatusCode.UNAUTHENTICATED.value[0])


async def test_a_failing_authenticator_admits_nobody(running: RunningServer) -> None:
    metadata: Metadata = running.as_tenant

    for error, code in (
        (Unavailable("the database is away: try again"), StatusCode.UNAVAILABLE),
        (RuntimeError("a private text"), StatusCode.INTERNAL),
    ):
        running.container.authenticator.fails_with = error
        refused = await refusal(
            running.chats.SendMessage(
                chat_pb.SendMessageRequest(content="Why?"), metadata=metadata
            ).read()
        )

        assert refused.code is code
        assert "private" not in refused.message
    assert running.container.answers.questions == []
