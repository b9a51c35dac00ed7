"""What is gone, or never was, is told by the name that the caller knows it by."""

from __future__ import annotations

import pytest

from minirag.domain.documents import Collection
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.errors import NotFound
from minirag.services.api_keys import ApiKeyService
from minirag.services.blob_keys import version_prefix
from tests.integration.services.wiring import World, paragraphs


async def test_keys_of_an_unknown_tenant_are_not_found(world: World) -> None:
    unknown = new_id()

    with pytest.raises(NotFound) as refused:
        await ApiKeyService(world.uow.inner).list_page(unknown, after=None, limit=9)

    assert refused.value.resource_name == encode_id(IdKind.TENANT, unknown)


async def test_keys_of_a_tenant_without_keys_are_an_empty_page(world: World) -> None:
    page = await ApiKeyService(world.uow.inner).list_page(world.tenant_id, after=None, limit=9)

    assert (page.items, page.next_after) == ((), None)


async def test_version_erased_while_its_text_is_read_is_not_found(
    world: World, collection: Collection
) -> None:
    document = await world.add_ready(collection, paragraphs("walrus"))
    version_id = document.version.id
    await world.blobs.inner.delete_prefix(version_prefix(world.tenant_id, version_id))

    with pytest.raises(NotFound) as refused:
        await world.documents.read_text(
            world.context, document.id, version_id=version_id, start=0, end=None
        )

    assert refused.value.resource_name == encode_id(IdKind.DOCUMENT_VERSION, version_id)
    assert world.tenant_id.hex not in refused.value.message
