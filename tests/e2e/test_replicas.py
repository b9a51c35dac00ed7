"""The production form: what one replica takes in, every other knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import grpc
import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from minirag_sdk.v1 import user_service_pb2 as user_pb

from tests.e2e.conftest import Replicated
from tests.mock_provider import MockProvider
from tests.support.client import Client
from tests.support.database import run_sql
from tests.support.programs import run_minirag

pytestmark = pytest.mark.long

TEXT = "The ferry leaves at noon.\n\nThe harbour is closed on Mondays.\n"
QUESTION = "When does the ferry leave?"
Pair = tuple[Client, Client]


@pytest.fixture
async def pair(replicated: Replicated) -> AsyncIterator[Pair]:
    """One tenant's client at each of the servers."""
    first = await replicated.create_tenant()
    second = first.at(replicated.servers[1].address)
    yield first, second
    await first.close()
    await second.close()


async def test_what_one_replica_takes_in_the_other_answers_from(pair: Pair) -> None:
    first, second = pair
    collection = await first.create_collection()
    document = await first.upload(collection, TEXT.encode(), file_name="plan.md")

    await second.wait_ready(document.id)
    found = await second.search(QUESTION, collection)
    answer = await second.ask(QUESTION)

    assert "noon" in found.results[0].chunk.text
    assert answer.text == "The ferry leaves at noon. [1]"
    assert answer.citations[0].document_id == document.id
    assert (await first.list_messages(answer.started.conversation_id))[1] == answer.message
    followed = await first.ask("And on Mondays?", conversation_id=answer.started.conversation_id)
    assert followed.message.state == chat_pb.GENERATION_STATE_COMPLETED


async def test_repeated_upload_is_one_document(pair: Pair) -> None:
    first, second = pair
    collection = await first.create_collection()
    request_id = str(uuid4())

    twice = await asyncio.gather(
        *(each.create(collection, TEXT, request_id=request_id) for each in pair)
    )
    streamed_id = str(uuid4())
    streamed = [
        await each.upload(collection, b"Another one.", request_id=streamed_id) for each in pair
    ]

    assert twice[0].id == twice[1].id
    assert streamed[0].id == streamed[1].id
    assert {d.id for d in await second.list_documents(collection)} == {
        twice[0].id,
        streamed[0].id,
    }


async def test_repeated_question_is_one_answer(pair: Pair, mock_provider: MockProvider) -> None:
    """The repeat comes while the first answer is being made, and waits for it."""
    model = f"mock-chat.gate-2.say-only_once_{uuid4().hex[:8]}"
    assistant = await pair[0].create_assistant(model)
    fields = {"assistant_id": assistant, "request_id": str(uuid4())}

    first = asyncio.create_task(pair[0].ask("Well?", **fields))
    await mock_provider.wait_until(lambda stats: stats.waiting_at_gates == 1, limit=20)
    second = asyncio.create_task(pair[1].ask("Well?", **fields))
    await asyncio.wait([second], timeout=0.5)
    assert not second.done()
    mock_provider.release()
    answers = [await first, await second, await pair[1].ask("Well?", **fields)]

    assert mock_provider.stats().calls_by_model[model] == 1
    assert len({answer.message.id for answer in answers}) == 1
    assert len({answer.text for answer in answers}) == 1
    assert len(await pair[0].list_messages(answers[0].started.conversation_id)) == 2


async def test_revoked_key_and_replaced_secret_are_refused_everywhere_within_five_seconds(
    pair: Pair,
) -> None:
    request = tenant_pb.CreateApiKeyRequest(scopes=[tenant_pb.SCOPE_READ])
    revoked = await pair[0].tenants.CreateApiKey(request)
    replaced = await pair[0].tenants.CreateApiKey(request)
    bearers = [Client(each.address, key.secret) for each in pair for key in (revoked, replaced)]
    for bearer in bearers:
        await bearer.tenants.WhoAmI(tenant_pb.WhoAmIRequest())

    await pair[0].tenants.RevokeApiKey(tenant_pb.RevokeApiKeyRequest(api_key_id=revoked.api_key.id))
    rotated = await pair[0].tenants.RotateApiKey(
        tenant_pb.RotateApiKeyRequest(api_key_id=replaced.api_key.id, overlap=Duration())
    )

    ended_at = time.monotonic()
    refused_after = await asyncio.gather(*(_refused_after(each, ended_at) for each in bearers))
    assert max(refused_after) < 5
    for each in pair:
        async with Client(each.address, rotated.secret) as renewed:
            await renewed.tenants.WhoAmI(tenant_pb.WhoAmIRequest())
    for bearer in bearers:
        await bearer.close()


async def test_session_ended_at_one_replica_ends_at_the_other(pair: Pair) -> None:
    """By signing out, by being disabled, by being removed; and a lower role holds there too."""
    first, second = pair
    slug = (await first.tenants.WhoAmI(tenant_pb.WhoAmIRequest())).tenant.tenant_slug
    people = [await _sign_in(first, slug, f"u{number}@example.com") for number in range(4)]
    at_second = [Client(second.address, token) for _, token in people]
    for each in at_second:
        await each.create_collection()

    async with Client(first.address, people[0][1]) as leaving:
        await leaving.users.SignOut(user_pb.SignOutRequest())
    disabled = user_pb.User(id=people[1][0], state=user_pb.USER_STATE_DISABLED)
    await first.users.UpdateUser(_update(disabled, "state"))
    await first.users.DeleteUser(user_pb.DeleteUserRequest(user_id=people[2][0]))
    demoted = user_pb.User(id=people[3][0], role=user_pb.ROLE_VIEWER)
    await first.users.UpdateUser(_update(demoted, "role"))

    ended_at = time.monotonic()
    refused_after = await asyncio.gather(
        *(_refused_after(each, ended_at) for each in at_second[:3]),
        _denied_after(at_second[3], ended_at),
    )
    assert max(refused_after) < 5
    for each in at_second:
        await each.close()


async def _sign_in(client: Client, slug: str, email: str) -> tuple[str, str]:
    """Make an editor and sign in; return the user's id and access token."""
    password = "seven lazy walruses"
    request = user_pb.CreateUserRequest(email=email, role=user_pb.ROLE_EDITOR, password=password)
    made = await client.users.CreateUser(request)
    answer = await client.users.SignIn(
        user_pb.SignInRequest(tenant_slug=slug, email=email, password=password)
    )
    return made.user.id, answer.session.access_token


def _update(user: user_pb.User, path: str) -> user_pb.UpdateUserRequest:
    request = user_pb.UpdateUserRequest(user=user)
    request.update_mask.paths.append(path)
    return request


async def _denied_after(client: Client, since: float) -> float:
    """Do what the former role might, until it mustn't any more."""
    while True:
        try:
            await client.create_collection()
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.PERMISSION_DENIED:
                raise
            return time.monotonic() - since
        assert time.monotonic() - since < 10
        await asyncio.sleep(0.05)


async def _refused_after(bearer: Client, since: float) -> float:
    """Use the key all the time, so that it stays trusted for as long as it can be."""
    while True:
        try:
            await bearer.tenants.WhoAmI(tenant_pb.WhoAmIRequest())
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                raise
            return time.monotonic() - since
        assert time.monotonic() - since < 10
        await asyncio.sleep(0.05)


# -- starting


@pytest.fixture
def empty_database(replicated: Replicated) -> dict[str, str]:
    """The deployment's settings, with a database that nothing was done to yet."""
    postgres = replicated.deployment.postgres
    name = f"empty_{uuid4().hex[:8]}"
    run_sql(postgres.owner_url(), f"CREATE DATABASE {name}")
    return {
        **replicated.deployment.environment,
        "MINIRAG_DATABASE_URL": postgres.app_url(name),
        "MINIRAG_DATABASE_OWNER_URL": postgres.owner_url(name),
    }


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_start_before_the_migration_says_to_run_it(
    empty_database: dict[str, str], directory: Path, command: str
) -> None:
    ended = run_minirag(directory, command, environment=empty_database)

    assert ended.returncode == 1
    assert ended.stderr == (
        f"minirag {command}: the database has no schema for this role yet: run `minirag migrate`\n"
    )


def test_two_migrations_at_once_both_succeed(
    empty_database: dict[str, str], directory: Path
) -> None:
    with ThreadPoolExecutor(max_workers=2) as pool:
        runs = [
            pool.submit(run_minirag, directory, "migrate", environment=empty_database)
            for _ in range(2)
        ]
        ended = [run.result() for run in runs]

    assert [(each.returncode, each.stderr) for each in ended] == [(0, "")] * 2
    assert ended[0].stdout == "the database schema is up to date\n"


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        ("serve", "MINIRAG_PORT", "fifty"),
        ("serve", "MINIRAG_QDRANT_URL", None),
        ("worker", "MINIRAG_REDIS_URL", None),
        ("migrate", "MINIRAG_DATABASE_OWNER_URL", None),
    ],
)
def test_wrong_setting_is_told_in_one_line_that_names_it(
    replicated: Replicated, directory: Path, command: str, name: str, value: str | None
) -> None:
    environment = replicated.deployment.environment
    environment.pop(name, None)
    if value is not None:
        environment[name] = value

    ended = run_minirag(directory, command, environment=environment)

    assert ended.returncode == 2
    assert ended.stderr.startswith(f"minirag {command}: {name}: ")
    assert ended.stderr.count("\n") == 1
