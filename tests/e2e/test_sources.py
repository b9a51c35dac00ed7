"""Sources of a node: a refresh that is killed half-way goes on, and what changes on the web can be found."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

import grpc.aio
import pytest
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import source_service_pb2 as pb

from tests.support.client import Client, create_tenant
from tests.support.node import NodeProcess
from tests.support.servers import open_directory
from tests.support.waiting import until
from tests.support.website import Answered, Website, open_website

WITHIN = 90.0
PAGES = 12
HANGING = "/page-7"
SETTINGS = {
    "MINIRAG_OUTBOUND_ALLOWED_NETWORKS": "127.0.0.1/32",
    "MINIRAG_JOB_LEASE_SECONDS": "2",
    "MINIRAG_DRAIN_DELAY": "0",
}


@pytest.fixture
async def site() -> AsyncIterator[Website]:
    async with open_website() as opened:
        paths = [f"/page-{n}" for n in range(PAGES)]
        for path in paths:
            opened.put_page(path, f"The number of {path[1:]} is known.", title=path[1:])
        opened.put_sitemap("/sitemap.xml", *paths)
        yield opened


async def wait_refreshed(client: Client, source_id: str, *, count: int) -> pb.Source:
    """Wait for the end of refresh number `count`."""
    began = time.monotonic()
    while True:
        response = await client.sources.GetSource(pb.GetSourceRequest(source_id=source_id))
        source: pb.Source = response.source
        if source.refresh_count >= count and source.state in (
            pb.SOURCE_STATE_READY,
            pb.SOURCE_STATE_FAILED,
        ):
            return source
        assert time.monotonic() - began < WITHIN, source
        await asyncio.sleep(0.05)


async def list_documents(client: Client, collection: str) -> list[document_pb.Document]:
    request = document_pb.ListDocumentsRequest(collection_id=collection, page_size=100)
    return list((await client.documents.ListDocuments(request)).documents)


@pytest.mark.long
@pytest.mark.timeout(300)  # a node starts twice
async def test_refresh_cut_off_by_kill_9_goes_on_and_stores_no_page_twice(site: Website) -> None:
    page = site.pages[HANGING]
    site.pages[HANGING] = Answered(b"<html>", drip=b" ")
    with open_directory() as directory:
        node = NodeProcess(directory, SETTINGS)
        try:
            node.start()
            client = await create_tenant(node.address, node.platform_key)
            collection = await client.create_collection()
            request = pb.CreateSourceRequest(
                collection_id=collection,
                kind=pb.SOURCE_KIND_SITEMAP,
                url=f"{site.url}/sitemap.xml",
                refresh_minutes=60,
            )
            made = (await client.sources.CreateSource(request)).source
            await until(lambda: HANGING in site.paths, within=WITHIN)

            node.program.kill()
            await client.close()
            site.pages[HANGING] = page
            node.start()
            async with client.at(node.address) as again:
                first = await wait_refreshed(again, made.id, count=1)
                documents = await list_documents(again, collection)
                await again.wait_ready(*(each.id for each in documents), within=WITHIN)

                site.put_page("/page-3", "The walrus has moved in.", title="page-3")
                refresh = pb.RefreshSourceRequest(source_id=made.id)
                await again.sources.RefreshSource(refresh)
                second = await wait_refreshed(again, made.id, count=2)
                (changed,) = [
                    each
                    for each in await list_documents(again, collection)
                    if each.external_id.endswith("/page-3")
                ]
                await again.wait_ready(changed.id, within=WITHIN)
                found = await again.documents.Search(document_pb.SearchRequest(query="walrus"))
        finally:
            node.close()

    asked = Counter(site.paths)
    assert (first.state, first.refresh_count) == (pb.SOURCE_STATE_READY, 1)
    assert first.HasField("next_refresh_time")
    assert {each.external_id for each in documents} == {
        f"{site.url}/page-{n}" for n in range(PAGES)
    }
    assert {each.version for each in documents} == {1}
    assert (second.document_count, second.failed_page_count) == (PAGES, 0)
    assert changed.version == 2
    assert found.results[0].chunk.document_id == changed.id
    # Twice by two refreshes; what was under way when the node died, once more.
    assert asked.pop(HANGING) == 3
    assert asked.pop("/sitemap.xml") == 2
    assert set(asked.values()) == {2}


async def test_node_reads_nothing_of_its_own_machine_unless_it_is_told_to(
    client: Client, site: Website
) -> None:
    collection = await client.create_collection()
    request = pb.CreateSourceRequest(
        collection_id=collection, kind=pb.SOURCE_KIND_PAGE, url=f"{site.url}/page-1"
    )

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.sources.CreateSource(request)

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "public address" in str(refused.value.details())
    assert site.connections == 0
