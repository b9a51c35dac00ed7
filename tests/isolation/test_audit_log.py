"""Who did what: every audited RPC of the contract leaves its one event, done or refused."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID, uuid4

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode
from minirag_sdk.v1 import tenant_service_pb2 as tenant

from minirag.api.audited_resources import AUDITED_RESOURCES, check_complete, read_resource_id
from minirag.api.method_table import METHOD_TABLE, Caller
from minirag.domain.people import UserRole
from tests.isolation.cells import build
from tests.isolation.conftest import Served
from tests.isolation.contract import RPCS, Rpc, put
from tests.isolation.entries import Entry
from tests.isolation.estates import Estate, found_tenant
from tests.isolation.table import TABLE
from tests.isolation.wire import Outcome

AUDITED = [name for name, rpc in RPCS.items() if METHOD_TABLE[rpc.path].is_audited]
CANARY = "saffron"
WITHIN = 20.0
ACTOR_TYPES = {
    Caller.PLATFORM: tenant.ACTOR_TYPE_PLATFORM,
    Caller.USER: tenant.ACTOR_TYPE_USER,
    Caller.OPEN: tenant.ACTOR_TYPE_USER,  # who signs in is known by then
}


@pytest.fixture(scope="module")
async def estate(served: Served) -> Estate:
    """A tenant with one of everything that the entries ask for."""
    made = await found_tenant(served.wire, served.platform, CANARY, served.provider.url)
    kinds = {"assistant", "conversation", "api_key", "user", "webhook", "operation"}
    await made.settle(kinds | {kind for e in TABLE.values() for kind in e.uses.values()})
    return made


async def list_events(
    estate: Estate, rpc: Rpc, *, tenant_id: str = "", as_platform: bool = False
) -> dict[str, tenant.AuditEvent]:
    """The log's events of one RPC by their ids; the platform's own log unless a tenant is named."""
    request = tenant.ListAuditEventsRequest(
        method=rpc.path[1:], tenant_id=tenant_id, page_size=1000
    )
    bearer = estate.platform if as_platform else estate.bearer
    return {event.id: event for event in (await estate.wire.send(request, bearer)).events}


async def list_new_events(
    estate: Estate, rpc: Rpc, known: set[str], *, count: int = 1, as_platform: bool = False
) -> list[tenant.AuditEvent]:
    """Those that aren't known yet; waits for `count`, as refusals are written in the background."""
    began = time.monotonic()
    while True:
        events = await list_events(estate, rpc, as_platform=as_platform)
        new = [event for event_id, event in events.items() if event_id not in known]
        if len(new) >= count or time.monotonic() - began > WITHIN:
            return new
        await asyncio.sleep(0.02)


async def fill(rpc: Rpc, entry: Entry, estate: Estate) -> Message:
    """A valid request, whatever it will use up made first."""
    if entry.before is not None:
        await entry.before(estate)
    request = build(rpc, entry, estate, as_platform=False)
    for path, kind in entry.uses.items():
        put(request, path, await estate.fresh(kind))
    for path in rpc.id_fields:
        if path.rpartition(".")[2] == "request_id":
            put(request, path, str(uuid4()))
    return request


async def bearer_of(rpc: Rpc, estate: Estate) -> str | None:
    takes = METHOD_TABLE[rpc.path].caller
    if takes is Caller.OPEN:
        return None
    if takes is Caller.PLATFORM:
        return estate.platform
    if takes is Caller.USER:
        return await estate.sign_in(await estate.make_user(UserRole.OWNER))
    return estate.bearer


async def call(
    rpc: Rpc, entry: Entry, estate: Estate, request: Message, bearer: str | None
) -> Outcome:
    return await estate.wire.attempt(rpc, [request, *entry.rest], bearer)


def test_what_is_audited_and_what_it_is_about_stand_in_step() -> None:
    check_complete()

    for method, named in AUDITED_RESOURCES.items():
        request = RPCS[method.removeprefix("/minirag.v1.")].request_class()
        assert read_resource_id(named, request) == ""  # the path is there


@pytest.mark.parametrize("name", AUDITED)
async def test_a_change_leaves_one_event_however_often_it_is_sent(
    estate: Estate, name: str
) -> None:
    rpc, entry = RPCS[name], TABLE[name]
    request = await fill(rpc, entry, estate)
    bearer = await bearer_of(rpc, estate)
    takes = METHOD_TABLE[rpc.path].caller
    is_platform = takes is Caller.PLATFORM
    known = set(await list_events(estate, rpc, as_platform=is_platform))

    done = await call(rpc, entry, estate, request, bearer)
    if any(path.endswith("request_id") for path in rpc.id_fields):
        repeated = await call(rpc, entry, estate, request, bearer)
        assert repeated.code is StatusCode.OK, repeated

    assert done.code is StatusCode.OK, done
    [event] = await list_new_events(estate, rpc, known, as_platform=is_platform)
    named = AUDITED_RESOURCES[rpc.path]
    assert event.method == rpc.path[1:]
    assert event.outcome == "OK"
    assert event.peer == "127.0.0.1"
    assert len(event.correlation_id) == 16
    assert event.resource_type == named.resource_type
    assert event.resource_id
    assert event.resource_id == (read_resource_id(named, request) or event.resource_id)
    assert event.actor_type == ACTOR_TYPES.get(takes, tenant.ACTOR_TYPE_API_KEY)
    prefix = {tenant.ACTOR_TYPE_API_KEY: "key_", tenant.ACTOR_TYPE_USER: "usr_"}
    assert event.actor_id.startswith(prefix.get(event.actor_type, ""))
    assert CANARY not in str(event), "no content in the log"
    if is_platform:
        whose = event.resource_id if event.resource_id.startswith("ten_") else estate.tenant_id
        mirrored = await list_events(estate, rpc, tenant_id=whose, as_platform=True)
        assert mirrored[event.id] == event


@pytest.mark.parametrize(
    "name",
    [name for name in AUDITED if RPCS[name].rule.caller not in (Caller.OPEN, Caller.ANY)],
)
async def test_a_refused_call_leaves_one_event_that_names_what_was_wanted(
    estate: Estate, name: str
) -> None:
    rpc, entry = RPCS[name], TABLE[name]
    reader = await estate.send(tenant.CreateApiKeyRequest(scopes=[tenant.SCOPE_READ]))
    request = build(rpc, entry, estate, as_platform=False)
    known = set(await list_events(estate, rpc))

    refused = await call(rpc, entry, estate, request, f"Bearer {reader.secret}")

    assert refused.code is StatusCode.PERMISSION_DENIED, refused
    [event] = await list_new_events(estate, rpc, known)
    named = AUDITED_RESOURCES[rpc.path]
    assert event.outcome == "PERMISSION_DENIED"
    assert event.actor_id == reader.api_key.id
    assert event.resource_type == named.resource_type
    assert event.resource_id == read_resource_id(named, request)
    assert event.peer == "127.0.0.1"
    assert len(event.correlation_id) == 16


@pytest.mark.parametrize(
    ("document_id", "etag", "outcome"),
    [
        (f"doc_{UUID(int=7).hex}", "", "NOT_FOUND"),
        ("doc_gibberish", "", "NOT_FOUND"),
        ("", "", "INVALID_ARGUMENT"),
    ],
)
async def test_a_failed_call_is_written_down_with_its_outcome(
    estate: Estate, document_id: str, etag: str, outcome: str
) -> None:
    rpc, entry = RPCS["DocumentService/DeleteDocument"], TABLE["DocumentService/DeleteDocument"]
    known = set(await list_events(estate, rpc))
    request = entry.request(estate)
    put(request, "document_id", document_id)

    failed = await call(rpc, entry, estate, request, estate.bearer)

    [event] = await list_new_events(estate, rpc, known)
    assert (failed.code.name, event.outcome) == (outcome, outcome)
    assert event.resource_id == (document_id if len(document_id) == 36 else "")


async def test_a_revoked_key_is_named_in_its_tenants_log_and_a_stranger_in_nobodys(
    estate: Estate,
) -> None:
    rpc, entry = (
        RPCS["DocumentService/CreateCollection"],
        TABLE["DocumentService/CreateCollection"],
    )
    made = await estate.send(tenant.CreateApiKeyRequest(scopes=[tenant.SCOPE_INGEST]))
    await estate.send(tenant.RevokeApiKeyRequest(api_key_id=made.api_key.id))
    known = set(await list_events(estate, rpc))

    for secret in ("mrk_nonsense", made.secret):
        refused = await call(rpc, entry, estate, entry.request(estate), f"Bearer {secret}")
        assert refused.code is StatusCode.UNAUTHENTICATED

    [event] = await list_new_events(estate, rpc, known)
    assert (event.outcome, event.actor_id) == ("UNAUTHENTICATED", made.api_key.id)


async def test_the_platforms_refusals_stand_in_its_own_log(estate: Estate) -> None:
    rpc, entry = (
        RPCS["DocumentService/DeleteDocument"],
        TABLE["DocumentService/DeleteDocument"],
    )
    known = set(await list_events(estate, rpc, as_platform=True))

    refused = await call(rpc, entry, estate, entry.request(estate), estate.platform)

    [event] = await list_new_events(estate, rpc, known, as_platform=True)
    assert refused.code is StatusCode.PERMISSION_DENIED
    assert event.actor_type == tenant.ACTOR_TYPE_PLATFORM


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("outcome", tenant.ListAuditEventsRequest(outcome="REFUSED")),
        (
            "end_time",
            tenant.ListAuditEventsRequest(
                start_time=Timestamp(seconds=20), end_time=Timestamp(seconds=10)
            ),
        ),
    ],
    ids=["outcome", "end_time"],
)
async def test_a_filter_that_nothing_can_pass_is_refused(
    estate: Estate, field: str, request_: tenant.ListAuditEventsRequest
) -> None:
    rpc, entry = RPCS["TenantService/ListAuditEvents"], TABLE["TenantService/ListAuditEvents"]

    refused = await call(rpc, entry, estate, request_, estate.bearer)

    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert field in refused.message
