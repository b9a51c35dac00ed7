"""A tenant's archive: whole, its own, and without secrets."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator

import pytest

from minirag.domain.documents import Collection
from minirag.domain.ids import IdKind, encode_id
from minirag.errors import Conflict
from minirag.repositories.postgres import exports
from minirag.repositories.postgres.tables import metadata
from minirag.services import exporting
from minirag.services.exporting import ArchiveSummary, ExportService
from tests.integration.postgres.records import fill_every_table
from tests.integration.services.wiring import World, paragraphs

TEXT = paragraphs("walrus", "heron")


@pytest.fixture
def service(world: World) -> ExportService:
    return ExportService(world.uow, world.blobs)


async def _export(
    service: ExportService, world: World, *, omit_files: bool = False
) -> tuple[dict[str, bytes], ArchiveSummary]:
    parts = [part async for part in service.export(world.context, omit_files=omit_files)]
    *data, summary = parts
    assert isinstance(summary, ArchiveSummary)
    archive = b"".join(part for part in data if isinstance(part, bytes))
    assert summary.byte_size == len(archive)
    assert summary.sha256 == hashlib.sha256(archive).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        members = {
            member.name: file.read()
            for member in tar.getmembers()
            if (file := tar.extractfile(member)) is not None
        }
    return members, summary


def _records(members: dict[str, bytes], kind: str) -> list[dict[str, object]]:
    return [
        json.loads(line)
        for name in sorted(members)
        if name.startswith(f"records/{kind}/")
        for line in members[name].splitlines()
    ]


async def test_archive_holds_records_texts_and_files(
    world: World, collection: Collection, service: ExportService
) -> None:
    document = await world.add_ready(
        collection, TEXT, file_name="../reports\\Übersicht 1.txt", external_id="r-1"
    )
    version = encode_id(IdKind.DOCUMENT_VERSION, document.version.id)

    members, summary = await _export(service, world)

    (record,) = _records(members, "documents")
    assert json.loads(members["manifest.json"])["has_files"] is True
    assert record["id"] == encode_id(IdKind.DOCUMENT, document.id)
    assert record["collection_id"] == encode_id(IdKind.COLLECTION, collection.id)
    assert record["external_id"] == "r-1"
    assert members[f"files/{version}/Übersicht 1.txt"] == TEXT.encode()
    assert members[f"texts/{version}.txt"].decode().split() == TEXT.split()
    assert summary.counts["files"] == summary.counts["texts"] == summary.counts["documents"] == 1


async def test_archive_without_files_keeps_the_texts(
    world: World, collection: Collection, service: ExportService
) -> None:
    await world.add_ready(collection, TEXT)

    members, _ = await _export(service, world, omit_files=True)

    assert not [name for name in members if name.startswith("files/")]
    assert len([name for name in members if name.startswith("texts/")]) == 1


async def test_archive_of_many_pages_misses_no_record(
    world: World, service: ExportService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "RECORDS_PER_MEMBER", 2)
    made = {(await world.add_collection()).id for _ in range(5)}

    members, summary = await _export(service, world)

    listed = [record["id"] for record in _records(members, "collections")]
    assert listed == [encode_id(IdKind.COLLECTION, one) for one in sorted(made)]
    assert summary.counts["collections"] == 5


async def test_archive_holds_nothing_of_another_tenant_and_no_secret(
    world: World, service: ExportService
) -> None:
    other = await world.add_tenant()
    for tenant_id in (world.tenant_id, other.tenant_id):
        async with world.uow.inner.tenant(tenant_id) as unit:
            await fill_every_table(unit, tenant_id)

    members, summary = await _export(service, world)

    whole = b"".join(members.values())
    assert encode_id(IdKind.TENANT, other.tenant_id).encode() not in whole
    assert other.tenant_id.hex.encode() not in whole
    assert not any(f'"{name}"'.encode() in whole for name in exports._HIDDEN)
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        held = await unit.holdings.count()
    assert {kind: summary.counts[kind] for kind in ("api_keys", "messages", "usage_records")} == {
        kind: held[kind] for kind in ("api_keys", "messages", "usage_records")
    }


def test_every_tenant_table_is_exported_or_known_not_to_be() -> None:
    of_tenants = {table.name for table in metadata.sorted_tables if "tenant_id" in table.c}

    exported = {table.name for table in exports._EXPORTED.values()} - {"tenants"}

    assert exported | exports._NOT_EXPORTED == of_tenants
    assert not exported & exports._NOT_EXPORTED


async def test_file_that_is_erased_while_it_is_sent_breaks_the_archive_off(
    world: World, collection: Collection, service: ExportService, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = await world.add_ready(collection, TEXT)
    monkeypatch.setattr(exporting, "PART", 16)

    async def erase() -> None:
        await world.blobs.inner.delete_prefix(f"{world.tenant_id.hex}/{document.version.id.hex}/")

    async def send() -> AsyncIterator[bytes | ArchiveSummary]:
        reads = 0
        async for part in service.export(world.context, omit_files=False):
            reads += isinstance(part, bytes) and b"walrus" in part
            if reads:
                await erase()
            yield part

    with pytest.raises(Conflict, match="export again"):
        [part async for part in send()]


async def test_document_without_text_or_bytes_left_is_listed_and_has_no_member(
    world: World, collection: Collection, service: ExportService
) -> None:
    document = await world.upload(collection, TEXT)
    await world.blobs.inner.delete_prefix(f"{world.tenant_id.hex}/{document.version.id.hex}/")

    members, summary = await _export(service, world)

    assert len(_records(members, "documents")) == 1
    assert not [name for name in members if name.startswith(("files/", "texts/"))]
    assert summary.counts["files"] == 0
