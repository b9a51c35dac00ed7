"""Tenants' own provider keys on a deployment: used for their tenant alone, told nowhere, sealed anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from uuid import uuid4

import grpc
import pytest
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb

from tests.e2e.conftest import Replicated
from tests.mock_provider import MockProvider
from tests.support.client import Client
from tests.support.deployment import Replica
from tests.support.programs import run_minirag
from tests.support.refusals import refusal

OPERATOR_KEY = "sk-test-provider"
WITHIN_SECONDS = 5.0
LOADING_SECONDS = 300.0

pytestmark = pytest.mark.timeout(LOADING_SECONDS + 200)

TEXT = "The ferry leaves at noon."


@pytest.fixture(scope="module")
def strict(replicated: Replicated) -> Iterator[Replica]:
    """A server that has the new secret key alone, and allows few models."""
    newest = replicated.deployment.secret_keys.partition(",")[0]
    server = replicated.deployment.serve(
        "serve-strict",
        MINIRAG_SECRET_KEYS=newest,
        MINIRAG_ALLOWED_MODELS="openai/mock-chat.say-*, mistral/*",
    )
    server.await_ready()
    yield server
    server.program.terminate()
    assert server.program.wait(30) == 0


@pytest.fixture(scope="module", autouse=True)
async def _loaded(replicated: Replicated, strict: Replica) -> None:
    """The time limits below are meant for calls, not for five processes that import LiteLLM at once."""
    for server in (*replicated.servers, strict):
        server.program.await_event("litellm.loaded", "seconds", within=LOADING_SECONDS)
    client = await replicated.create_tenant()
    async with client:
        collection = await client.create_collection()
        documents = [await client.create(collection, f"{TEXT} {number}") for number in range(6)]
        await client.wait_ready(*(document.id for document in documents), within=LOADING_SECONDS)


def new_key(start: str = "sk-own") -> str:
    return f"{start}-{uuid4().hex}"


async def set_key(client: Client, api_key: str) -> tenant_pb.ProviderCredential:
    request = tenant_pb.SetProviderCredentialRequest(provider="openai", api_key=api_key)
    return (await client.tenants.SetProviderCredential(request)).credential


@pytest.fixture
async def pair(replicated: Replicated) -> AsyncIterator[tuple[Client, Client]]:
    """One tenant's client at each of the servers."""
    first = await replicated.create_tenant()
    second = first.at(replicated.servers[1].address)
    yield first, second
    await first.close()
    await second.close()


class Wire:
    """Which keys the provider was called with."""

    def __init__(self, provider: MockProvider) -> None:
        self._provider = provider

    def keys(self, marker: str) -> set[str]:
        """Of calls whose body holds the marker."""
        return {
            request.authorization.removeprefix("Bearer ")
            for request in self._provider.requests()
            if marker in str(request.body)
        }


@pytest.fixture
def wire(mock_provider: MockProvider) -> Wire:
    return Wire(mock_provider)


async def test_every_kind_of_call_arrives_with_its_own_tenants_key(
    replicated: Replicated, wire: Wire
) -> None:
    """Three tenants, one of them without a key, ask, search and upload at the same time."""
    clients = [await replicated.create_tenant() for _ in range(3)]
    keys = [new_key(), new_key(), OPERATOR_KEY]
    for client, key in zip(clients[:2], keys, strict=False):
        await set_key(client, key)

    async def work(client: Client, marker: str) -> None:
        collection = await client.create_collection()
        document = await client.create(collection, f"{TEXT} {marker}")
        await client.wait_ready(document.id)
        await asyncio.gather(
            *(client.ask(f"When, {marker}?") for _ in range(3)),
            *(client.search(f"when {marker}") for _ in range(3)),
        )

    markers = [f"marker{uuid4().hex[:8]}" for _ in clients]
    await asyncio.gather(*(map(work, clients, markers)))

    assert [wire.keys(marker) for marker in markers] == [{key} for key in keys]
    for client in clients:
        await client.close()


async def seconds_until(look: Callable[[], bool], act: Callable[[], object]) -> float:
    """Repeat `act` until `look` finds what it is for."""
    began = time.monotonic()
    while not look():
        assert time.monotonic() - began < 30
        await act()  # type: ignore[misc]  # every act is a coroutine function
    return time.monotonic() - began


async def test_a_key_acts_everywhere_within_five_seconds_of_being_set_and_deleted(
    pair: tuple[Client, Client], wire: Wire
) -> None:
    first, second = pair
    collection = await first.create_collection()
    await asyncio.gather(*(client.ask("Anybody there?") for client in pair))
    key = new_key()

    async def used_from_now_on(expected: str) -> None:
        marker = f"marker{uuid4().hex[:8]}"

        async def embed() -> None:
            document = await first.create(collection, f"{TEXT} {uuid4()} {marker}document")
            await first.wait_ready(document.id)

        async def chat() -> None:
            await second.ask(f"When, {marker}chat?")

        waits = await asyncio.gather(
            seconds_until(lambda: expected in wire.keys(f"{marker}chat"), chat),
            seconds_until(lambda: expected in wire.keys(f"{marker}document"), embed),
        )
        assert max(waits) < WITHIN_SECONDS

    await set_key(first, key)
    at_once = f"marker{uuid4().hex[:8]}"
    await first.ask(f"When, {at_once}?")
    await used_from_now_on(key)
    await first.tenants.DeleteProviderCredential(
        tenant_pb.DeleteProviderCredentialRequest(provider="openai")
    )
    await used_from_now_on(OPERATOR_KEY)

    assert wire.keys(at_once) == {key}


async def test_a_wrong_key_of_its_own_is_told_to_the_tenant_and_shown_nowhere(
    replicated: Replicated, pair: tuple[Client, Client]
) -> None:
    client, _ = pair
    key = new_key("sk-wrong")
    collection = await client.create_collection()
    credential = await set_key(client, key)

    document = await client.create(collection, TEXT)
    failed = (await client.wait_final(document.id))[document.id]
    refused = await refusal(client.ask("When?", collection_ids=[]))

    assert (refused.code, refused.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "PROVIDER_REJECTED",
    )
    assert "refused your own API key" in refused.message
    assert failed.failure.code == document_pb.FAILURE_CODE_EMBEDDING_REJECTED
    assert "refused your own API key" in failed.failure.reason
    listed = await client.tenants.ListProviderCredentials(
        tenant_pb.ListProviderCredentialsRequest()
    )
    assert list(listed.credentials) == [credential]
    assert credential.key_hint == key[-4:]
    told = f"{refused} {failed} {listed}"
    for process in (*(server.program for server in replicated.servers), *replicated.workers):
        told += process.log
    assert key not in told


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"provider": "openai"}, "api_key"),
        ({"provider": "openai", "api_key": "sk a b"}, "api_key"),
        ({"provider": "openai", "api_key": "sk-\nHost: inside"}, "api_key"),
        ({"provider": "openai", "api_key": "s" * 4001}, "api_key"),
        ({"provider": "openai", "api_key": "os.environ/MINIRAG_PLATFORM_KEY"}, "api_key"),
        ({"provider": "openai", "api_key": "oidc/file//etc/passwd"}, "api_key"),
        ({"provider": "", "api_key": "sk-walrus"}, "provider"),
        ({"provider": "ollama", "api_key": "sk-walrus"}, "provider"),
        ({"provider": "bedrock", "api_key": "sk-walrus"}, "provider"),
        ({"provider": "http://inside", "api_key": "sk-walrus"}, "provider"),
    ],
)
async def test_what_is_no_key_of_a_known_provider_is_refused_without_an_echo(
    pair: tuple[Client, Client], fields: dict[str, str], wrong: str
) -> None:
    request = tenant_pb.SetProviderCredentialRequest(**fields)

    refused = await refusal(pair[0].tenants.SetProviderCredential(request))

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refused.violations) == [wrong]
    assert fields.get("api_key", "-") not in str(refused).replace("api_key", "")


@pytest.mark.long
async def test_rotation_under_load_fails_no_call_and_the_new_key_alone_opens_all(
    replicated: Replicated, strict: Replica, wire: Wire
) -> None:
    """Servers and workers hold both keys throughout; secrets are sealed by the old one at first."""
    deployment = replicated.deployment
    second, first = deployment.secret_keys.split(",")

    def rotate(*ring: str, arguments: tuple[str, ...] = ()) -> str:
        environment = {
            "MINIRAG_DATABASE_URL": deployment.environment["MINIRAG_DATABASE_URL"],
            "MINIRAG_SECRET_KEYS": ",".join(ring),
        }
        done = run_minirag(
            deployment.directory, "secrets", "rotate", *arguments, environment=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    clients = [await replicated.create_tenant() for _ in range(4)]
    keys = [new_key() for _ in clients]
    for client, key in zip(clients, keys, strict=True):
        await set_key(client, key)
    await asyncio.to_thread(rotate, first, second)
    calls = 0
    is_over = False
    marker = f"marker{uuid4().hex[:8]}"

    async def load(number: int, client: Client) -> None:
        nonlocal calls
        async with client.at(replicated.servers[number % 2].address) as there:
            collection = await there.create_collection()
            while not is_over:
                document = await there.create(collection, f"{TEXT} {uuid4()} {marker}{number}.")
                await there.ask(f"When, {marker}{number}.?")
                await there.wait_ready(document.id)
                calls += 3

    async def rotations() -> list[str]:
        nonlocal is_over
        try:
            due = await asyncio.to_thread(rotate, second, first, arguments=("--dry-run",))
            twice = await asyncio.gather(
                *(asyncio.to_thread(rotate, second, first) for _ in range(2))
            )
            return [due, *twice]
        finally:
            is_over = True

    due, *twice = (await asyncio.gather(rotations(), *map(load, range(4), clients)))[0]

    assert int(due.split()[0]) >= 4
    resealed = [int(told.split()[0]) for told in twice]
    assert sum(resealed) == int(due.split()[0])
    assert rotate(second, first, arguments=("--dry-run",)).startswith("0 secrets")
    assert calls > 20
    for number, key in enumerate(keys):
        assert wire.keys(f"{marker}{number}.") == {key}
    for client, key in zip(clients, keys, strict=True):
        last = f"marker{uuid4().hex[:8]}"
        async with client.at(strict.address) as there:
            await there.ask(f"When, {last}?")
        assert wire.keys(last) == {key}
        await client.close()


async def test_models_that_the_operator_does_not_allow_take_a_key_of_ones_own(
    strict: Replica, pair: tuple[Client, Client]
) -> None:
    elsewhere, _ = pair

    async def create(client: Client, model: str) -> str:
        assistant = chat_pb.Assistant(display_name=uuid4().hex, model=model)
        request = chat_pb.CreateAssistantRequest(assistant=assistant)
        return (await client.chats.CreateAssistant(request)).assistant.id

    async with elsewhere.at(strict.address) as client:
        named = await create(client, "openai/mock-chat.say-hello")
        default = await create(client, "openai/mock-chat")
        unnamed = await create(elsewhere, "openai/mock-chat.tokens-3")
        refusals = [
            await refusal(create(client, "openai/gpt-4o")),
            await refusal(
                client.chats.UpdateAssistant(
                    chat_pb.UpdateAssistantRequest(
                        assistant=chat_pb.Assistant(id=named, model="ollama/llama3"),
                        update_mask={"paths": ["model"]},
                    )
                )
            ),
            await refusal(client.ask("Well?", assistant_id=unnamed)),
        ]
        await client.ask("Well?", assistant_id=named)
        await client.ask("Well?", assistant_id=default)
        await set_key(client, new_key())
        lifted = await client.ask("Well?", assistant_id=unnamed)

    for refused in refusals:
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "MODEL_NOT_ALLOWED",
        )
        assert "model" in refused.metadata
    assert lifted.text.strip()
