"""The same content again: recognised by its hash, and answered with the document that has it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from minirag.domain.documents import Collection, DocumentState
from minirag.services.accepting import Accepted, NewDocument
from tests.integration.postgres.records import make_request
from tests.integration.services.wiring import World, parts

TEXT = b"The walrus sleeps on the ice."


async def upload(
    world: World, collection: Collection, content: bytes = TEXT, request: Any = None, **about: Any
) -> Accepted:
    described: dict[str, Any] = {
        "display_name": "Walrus",
        "external_id": "",
        "metadata": {},
        "file_name": "a.txt",
    }
    new = NewDocument(collection.id, **{**described, **about})
    return await world.intake.upload(world.context, new, parts(content), request=request)


async def test_same_content_is_answered_with_the_document_that_has_it(
    world: World, collection: Collection
) -> None:
    first = await upload(world, collection)

    again = await upload(world, collection, display_name="Another name")

    assert (first.already_existed, again.already_existed) == (False, True)
    assert again.document.id == first.document.id
    assert again.document.display_name == "Walrus"
    assert await world.count_rows("documents") == await world.count_rows("jobs") == 1
    assert len(await world.list_blobs()) == 1


async def test_of_many_at_once_one_is_taken(world: World, collection: Collection) -> None:
    accepted = await asyncio.gather(*(upload(world, collection) for _ in range(5)))

    assert len({one.document.id for one in accepted}) == 1
    assert sum(one.already_existed for one in accepted) == 4
    assert len(await world.list_blobs()) == 1


async def test_duplicate_is_taken_when_it_is_asked_for(
    world: World, collection: Collection
) -> None:
    first = await upload(world, collection)

    again = await upload(world, collection, allow_duplicate=True)

    assert not again.already_existed
    assert again.document.id != first.document.id


async def test_each_collection_and_tenant_has_its_own(world: World, collection: Collection) -> None:
    first = await upload(world, collection)
    elsewhere = await upload(world, await world.add_collection())
    stranger = await world.add_tenant()
    foreign = await world.upload(
        await world.add_collection(stranger), TEXT, context=stranger, file_name="a.txt"
    )

    assert not elsewhere.already_existed
    assert len({first.document.id, elsewhere.document.id, foreign.id}) == 3


async def test_deleted_document_is_not_answered_with(world: World, collection: Collection) -> None:
    first = await upload(world, collection)
    await world.documents.delete(world.context, first.document.id, if_revision=None, request=None)

    again = await upload(world, collection)

    assert not again.already_existed


async def test_failed_document_is_tried_anew(world: World, collection: Collection) -> None:
    first = await upload(world, collection)
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.documents.set_version_state(first.document.version.id, DocumentState.FAILED)

    again = await upload(world, collection)

    assert not again.already_existed


async def test_document_with_an_external_id_is_never_given_for_another_name(
    world: World, collection: Collection
) -> None:
    named = await upload(world, collection, external_id="walrus/1")

    other = await upload(world, collection, external_id="walrus/2")
    unnamed = await upload(world, collection)

    assert (other.already_existed, unnamed.already_existed) == (False, False)
    assert len({named.document.id, other.document.id, unnamed.document.id}) == 3


async def test_same_external_id_and_content_make_no_new_version(
    world: World, collection: Collection
) -> None:
    first = await upload(world, collection, external_id="walrus/1", metadata={"year": 1})

    again = await upload(world, collection, external_id="walrus/1", metadata={"year": 1})

    assert again.already_existed
    assert again.document.version.id == first.document.version.id


@pytest.mark.parametrize(
    "change",
    [
        {"content": b"Another text."},
        {"display_name": "Renamed"},
        {"metadata": {"year": True}},
        {"file_name": "a.md"},
        {"allow_duplicate": True},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_whatever_changes_makes_a_version_of_the_external_id(
    world: World, collection: Collection, change: dict[str, Any]
) -> None:
    first = await upload(world, collection, external_id="walrus/1", metadata={"year": 1})

    again = await upload(
        world, collection, **{"external_id": "walrus/1", "metadata": {"year": 1}, **change}
    )

    assert not again.already_existed
    assert again.document.id == first.document.id
    assert again.document.version.number == 2


async def test_repeated_request_is_told_what_the_first_one_was(
    world: World, collection: Collection
) -> None:
    taken, known = make_request(), make_request()
    first = await upload(world, collection, request=taken)
    second = await upload(world, collection, request=known)

    assert await upload(world, collection, request=taken) == first
    assert await upload(world, collection, request=known) == second
    assert (first.already_existed, second.already_existed) == (False, True)
