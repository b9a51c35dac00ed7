"""What every vector store does alike: one suite, the same assertions for each of them."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from uuid import UUID, uuid4

import pytest

from minirag.domain.documents import MetadataValue
from minirag.domain.drift import StoredPoint
from minirag.domain.metadata_tokens import metadata_tokens
from minirag.domain.retrieval import SparseVector, VectorFilter
from minirag.errors import Unavailable
from minirag.services.ports.vectors import VectorStore
from tests.integration.vectors.factories import a_point, a_space, ids, terms

ALL = VectorFilter()
TENANT = uuid4()
OTHER = uuid4()
LOWEST = UUID(int=0)
HIGHEST = UUID(int=2**128 - 1)


# -- searching


async def test_rare_term_beats_common_term(store: VectorStore) -> None:
    """Both documents hold one asked-for term with the same weight; the rarer one is worth more."""
    space = a_space()
    rare = a_point({1: 1.0})
    common = [a_point({2: 1.0}) for _ in range(9)]
    await store.upsert(TENANT, space, [*common, rare])

    hits = await store.search_lexical(TENANT, space, terms({1: 1.0, 2: 1.0}), where=ALL, limit=10)

    assert hits[0].chunk_id == rare.chunk_id
    assert hits[0].score == pytest.approx(math.log((10 - 1 + 0.5) / (1 + 0.5) + 1), rel=1e-4)
    assert hits[1].score == pytest.approx(math.log((10 - 9 + 0.5) / (9 + 0.5) + 1), rel=1e-4)


async def test_heavier_term_weight_ranks_higher(store: VectorStore) -> None:
    space = a_space(0)
    light, heavy = a_point({1: 0.5}), a_point({1: 1.5})
    await store.upsert(TENANT, space, [light, heavy, a_point({2: 1.0})])

    hits = await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=10)

    assert ids(hits) == [heavy.chunk_id, light.chunk_id]
    assert [hit.version_id for hit in hits] == [heavy.version_id, light.version_id]


async def test_term_ids_use_all_32_bits(store: VectorStore) -> None:
    space = a_space(0)
    point = a_point({0: 1.0, 2**32 - 1: 1.0})
    await store.upsert(TENANT, space, [point])

    for term in (0, 2**32 - 1):
        hits = await store.search_lexical(TENANT, space, terms({term: 1.0}), where=ALL, limit=1)
        assert ids(hits) == [point.chunk_id]


async def test_dense_search_ranks_by_cosine(store: VectorStore) -> None:
    """Length doesn't count, direction does; scores are cosines."""
    space = a_space()
    same = a_point(dense=(10.0, 0.0, 0.0))
    near = a_point(dense=(1.0, 1.0, 0.0))
    opposite = a_point(dense=(-1.0, 0.0, 0.0))
    await store.upsert(TENANT, space, [opposite, near, same])

    hits = await store.search_dense(TENANT, space, (1.0, 0.0, 0.0), where=ALL, limit=10)

    assert ids(hits) == [same.chunk_id, near.chunk_id, opposite.chunk_id]
    assert [hit.score for hit in hits] == pytest.approx([1.0, math.sqrt(0.5), -1.0], abs=1e-5)


async def test_limit_cuts_after_the_best(store: VectorStore) -> None:
    space = a_space()
    points = [a_point({1: float(n)}, (1.0, n / 10, 0.0)) for n in range(1, 41)]
    await store.upsert(TENANT, space, points)

    lexical = await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=3)
    dense = await store.search_dense(TENANT, space, (1.0, 0.0, 0.0), where=ALL, limit=3)
    none = await store.search_dense(TENANT, space, (1.0, 0.0, 0.0), where=ALL, limit=0)

    assert ids(lexical) == [points[n].chunk_id for n in (39, 38, 37)]
    assert ids(dense) == [points[n].chunk_id for n in (0, 1, 2)]
    assert none == []


async def test_equal_scores_are_ordered_by_chunk_id(store: VectorStore) -> None:
    """The cut runs through the ties, and still takes the lowest ids."""
    space = a_space()
    points = [a_point({1: 1.0}, (1.0, 0.0, 0.0)) for _ in range(12)]
    await store.upsert(TENANT, space, points)
    expected = sorted(point.chunk_id for point in points)[:5]

    lexical = await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=5)
    dense = await store.search_dense(TENANT, space, (1.0, 0.0, 0.0), where=ALL, limit=5)

    assert ids(lexical) == expected
    assert ids(dense) == expected


async def test_query_without_terms_finds_nothing(store: VectorStore) -> None:
    space = a_space(0)
    await store.upsert(TENANT, space, [a_point()])

    assert not await store.search_lexical(TENANT, space, SparseVector((), ()), where=ALL, limit=5)


async def test_point_without_terms_is_kept_and_weighs_nothing(store: VectorStore) -> None:
    """A chunk of punctuation is listed, and doesn't shift the weights of the others."""
    space = a_space(0)
    await store.upsert(TENANT, space, [a_point({1: 1.0}), a_point({2: 1.0})])
    before = await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=5)

    await store.upsert(TENANT, space, [a_point({})])

    after = await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=5)
    assert after == before
    assert await store.count(TENANT, space, ALL) == 3


async def test_lexical_space_holds_no_dense_vectors(store: VectorStore) -> None:
    space = a_space(0)

    with pytest.raises(ValueError, match="dimensions"):
        await store.upsert(TENANT, space, [a_point(dense=(1.0, 0.0, 0.0))])
    with pytest.raises(ValueError, match="dimensions"):
        await store.search_dense(TENANT, space, (1.0, 0.0, 0.0), where=ALL, limit=1)


async def test_vector_of_another_length_is_refused(store: VectorStore) -> None:
    space = a_space(3)
    await store.ensure_space(space)

    with pytest.raises(ValueError, match="2 dimensions"):
        await store.upsert(TENANT, space, [a_point(dense=(1.0, 0.0))])
    with pytest.raises(ValueError, match="4 dimensions"):
        await store.search_dense(TENANT, space, (1.0, 0.0, 0.0, 0.0), where=ALL, limit=1)
    assert await store.count(TENANT, space, ALL) == 0


# -- tenants


async def test_search_sees_the_own_tenant_only(store: VectorStore) -> None:
    """Two tenants with the same vectors under the same collection and document ids."""
    space = a_space()
    collection, document = uuid4(), uuid4()
    mine, theirs = (
        a_point({1: 1.0}, (1.0, 0.0, 0.0), collection_id=collection, document_id=document)
        for _ in range(2)
    )
    await store.upsert(TENANT, space, [mine])
    await store.upsert(OTHER, space, [theirs])

    for where in (ALL, VectorFilter((collection,)), VectorFilter(document_ids=(document,))):
        lexical = await store.search_lexical(TENANT, space, terms({1: 1.0}), where=where, limit=9)
        dense = await store.search_dense(TENANT, space, (1.0, 0.0, 0.0), where=where, limit=9)
        listed = await store.list_points(TENANT, space, where, after=None, limit=9)
        scanned = await store.scan(TENANT, space, where, after=None, limit=9)
        assert ids(lexical) == ids(dense) == ids(listed) == ids(scanned) == [mine.chunk_id]
        assert await store.count(TENANT, space, where) == 1


async def test_other_tenants_points_dont_change_scores(store: VectorStore) -> None:
    """Document frequencies count the own points only, or scores would tell of others' words."""
    space = a_space(0)
    await store.upsert(TENANT, space, [a_point({1: 1.0}), a_point({2: 1.0})])
    before = await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=5)

    await store.upsert(OTHER, space, [a_point({1: 1.0}) for _ in range(50)])

    after = await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=5)
    assert after == before


async def test_stranger_finds_and_changes_nothing(store: VectorStore) -> None:
    space = a_space()
    point = a_point({1: 1.0}, (1.0, 0.0, 0.0), metadata={"team": "blue"})
    await store.upsert(TENANT, space, [point])

    await store.delete(OTHER, space, ALL)
    await store.delete(OTHER, space, VectorFilter(version_ids=(point.version_id,)))
    await store.delete(OTHER, space, VectorFilter(chunk_ids=(point.chunk_id,)))
    await store.set_metadata(OTHER, space, point.document_id, {"team": "red"})

    assert await store.count(OTHER, space, ALL) == 0
    assert await store.scan(OTHER, space, ALL, after=None, limit=5) == []
    assert await store.count(TENANT, space, VectorFilter(metadata={"team": "blue"})) == 1


# -- what points say of themselves


async def test_scan_pages_through_all_points_and_tells_what_each_says(store: VectorStore) -> None:
    space = a_space(0)
    points = [a_point({1: 1.0}, metadata={"number": n, "odd": bool(n % 2)}) for n in range(300)]
    await store.upsert(TENANT, space, points)

    found: list[StoredPoint] = []
    after: UUID | None = None
    while page := await store.scan(TENANT, space, ALL, after=after, limit=140):
        found += page
        after = page[-1].chunk_id

    assert found == [
        StoredPoint(
            point.chunk_id,
            point.collection_id,
            point.document_id,
            point.version_id,
            tuple(metadata_tokens(point.metadata)),
        )
        for point in sorted(points, key=lambda one: one.chunk_id)
    ]


async def test_points_are_chosen_by_their_chunks(store: VectorStore) -> None:
    space = a_space(0)
    points = [a_point({1: 1.0}) for _ in range(5)]
    await store.upsert(TENANT, space, points)
    few = VectorFilter(chunk_ids=(points[0].chunk_id, points[3].chunk_id, uuid4()))

    counted = await store.count(TENANT, space, few)
    scanned = await store.scan(TENANT, space, few, after=None, limit=9)
    await store.delete(TENANT, space, few)

    assert counted == 2
    assert ids(scanned) == sorted((points[0].chunk_id, points[3].chunk_id))
    assert await store.count(TENANT, space, ALL) == 3


async def test_scan_of_a_space_that_was_never_opened_finds_nothing(store: VectorStore) -> None:
    assert await store.scan(TENANT, a_space(), ALL, after=None, limit=5) == []


# -- writing


async def test_upsert_replaces_a_known_chunk(store: VectorStore) -> None:
    space = a_space()
    old = a_point({1: 1.0}, (1.0, 0.0, 0.0), metadata={"state": "old"})
    new = a_point({2: 1.0}, (0.0, 1.0, 0.0), chunk_id=old.chunk_id, metadata={"state": "new"})
    await store.upsert(TENANT, space, [old])

    await store.upsert(TENANT, space, [new])

    assert await store.count(TENANT, space, ALL) == 1
    assert await store.count(TENANT, space, VectorFilter(version_ids=(old.version_id,))) == 0
    assert await store.count(TENANT, space, VectorFilter(metadata={"state": "old"})) == 0
    assert not await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=5)
    found = await store.search_lexical(TENANT, space, terms({2: 1.0}), where=ALL, limit=5)
    assert [(hit.chunk_id, hit.version_id) for hit in found] == [(new.chunk_id, new.version_id)]


async def test_repeated_upsert_changes_nothing(store: VectorStore) -> None:
    """Scores included: the corpus doesn't grow by what was there."""
    space = a_space(0)
    points = [a_point({1: 1.0}), a_point({2: 1.0}), a_point({1: 2.0, 2: 1.0})]
    await store.upsert(TENANT, space, points)
    before = await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=5)

    for _ in range(3):
        await store.upsert(TENANT, space, points)

    after = await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=5)
    assert after == before
    assert await store.count(TENANT, space, ALL) == 3


async def test_deleted_points_leave_the_corpus(store: VectorStore) -> None:
    space = a_space(0)
    kept, gone = [a_point({1: 1.0}), a_point({2: 1.0})], [a_point({3: 1.0}) for _ in range(20)]
    await store.upsert(TENANT, space, kept)
    before = await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=5)
    await store.upsert(TENANT, space, gone)

    await store.delete(
        TENANT, space, VectorFilter(version_ids=tuple(point.version_id for point in gone))
    )

    after = await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=5)
    assert after == before


async def test_upserting_no_points_is_no_fault(store: VectorStore) -> None:
    space = a_space()

    await store.upsert(TENANT, space, [])

    assert await store.count(TENANT, space, ALL) == 0


async def test_set_metadata_replaces_that_of_one_document(store: VectorStore) -> None:
    space = a_space()
    document, collection = uuid4(), uuid4()
    changed = [
        a_point(document_id=document, collection_id=collection, metadata={"a": 1, "b": "x"})
        for _ in range(3)
    ]
    other = a_point(collection_id=collection, metadata={"a": 1})
    await store.upsert(TENANT, space, [*changed, other])

    await store.set_metadata(TENANT, space, document, {"a": 2, "c": True})

    assert await store.count(TENANT, space, VectorFilter(metadata={"a": 2, "c": True})) == 3
    assert await store.count(TENANT, space, VectorFilter(metadata={"b": "x"})) == 0
    assert await store.count(TENANT, space, VectorFilter(metadata={"a": 1})) == 1
    assert await store.count(TENANT, space, VectorFilter((collection,))) == 4
    hits = await store.search_lexical(
        TENANT, space, terms({1: 1.0}), where=VectorFilter(metadata={"a": 2}), limit=9
    )
    assert set(ids(hits)) == {point.chunk_id for point in changed}

    await store.set_metadata(TENANT, space, document, {})

    assert await store.count(TENANT, space, VectorFilter(metadata={"a": 2})) == 0


# -- filters


@pytest.mark.parametrize(
    ("stored", "matches", "differs"),
    [
        ("blue", "blue", "Blue"),
        ("", "", " "),
        ("1", "1", 1),
        (1, 1, True),
        (1, 1.0, "1"),
        (0, 0, False),
        (2**53 + 1, 2**53 + 1, 2**53),
        (-7, -7, 7),
        (0.1, 0.1, 0.10000001),
        (1e300, 1e300, 1e299),
        (True, True, "true"),
        (False, False, True),
        ("東京 🗼", "東京 🗼", "東京"),
    ],
)
async def test_metadata_is_matched_by_type_and_value(
    store: VectorStore, stored: MetadataValue, matches: MetadataValue, differs: MetadataValue
) -> None:
    space = a_space(0)
    point = a_point(metadata={"key": stored})
    await store.upsert(TENANT, space, [point, a_point(metadata={"another": stored})])

    async def found(value: MetadataValue) -> list[UUID]:
        where = VectorFilter(metadata={"key": value})
        return ids(await store.list_points(TENANT, space, where, after=None, limit=9))

    assert await found(matches) == [point.chunk_id]
    assert await found(differs) == []


@pytest.mark.parametrize("key", ["a.b", 'a"b', "a[0]", "a b", "", "tenant_id", "ключ", "a\\"])
async def test_metadata_keys_may_be_any_text(store: VectorStore, key: str) -> None:
    space = a_space(0)
    point = a_point(metadata={key: "x", "plain": 1})
    await store.upsert(TENANT, space, [point, a_point(metadata={"a": "x"})])

    where = VectorFilter(metadata={key: "x", "plain": 1})

    assert ids(await store.list_points(TENANT, space, where, after=None, limit=9)) == [
        point.chunk_id
    ]


async def test_filters_narrow_every_reading_method(store: VectorStore) -> None:
    """Values of one field are alternatives; the fields must all agree."""
    space = a_space()
    c1, c2, d1, d2 = (uuid4() for _ in range(4))
    rows: list[tuple[UUID, UUID, Mapping[str, MetadataValue]]] = [
        (c1, d1, {"year": 2024, "public": True}),
        (c1, d2, {"year": 2025, "public": True}),
        (c2, d1, {"year": 2024, "public": False}),
        (c2, uuid4(), {}),
    ]
    points = [
        a_point({1: 1.0}, (1.0, 0.0, 0.0), collection_id=c, document_id=d, metadata=m)
        for c, d, m in rows
    ]
    await store.upsert(TENANT, space, points)
    versions = tuple(point.version_id for point in points)
    cases: list[tuple[VectorFilter, set[int]]] = [
        (ALL, {0, 1, 2, 3}),
        (VectorFilter((c1,)), {0, 1}),
        (VectorFilter((c1, c2)), {0, 1, 2, 3}),
        (VectorFilter(document_ids=(d1,)), {0, 2}),
        (VectorFilter((c2,), (d1, d2)), {2}),
        (VectorFilter(version_ids=(versions[1], versions[3])), {1, 3}),
        (VectorFilter((c1,), version_ids=(versions[3],)), set()),
        (VectorFilter(metadata={"public": True}), {0, 1}),
        (VectorFilter(metadata={"public": True, "year": 2024}), {0}),
        (VectorFilter((c2,), (d1,), (versions[2],), {"year": 2024}), {2}),
        (VectorFilter((uuid4(),)), set()),
    ]

    for where, expected in cases:
        wanted = {points[n].chunk_id for n in expected}
        lexical = await store.search_lexical(TENANT, space, terms({1: 1.0}), where=where, limit=9)
        dense = await store.search_dense(TENANT, space, (1.0, 0.0, 0.0), where=where, limit=9)
        listed = await store.list_points(TENANT, space, where, after=None, limit=9)
        assert set(ids(lexical)) == wanted, where
        assert set(ids(dense)) == wanted, where
        assert set(ids(listed)) == wanted, where
        assert await store.count(TENANT, space, where) == len(wanted), where


@pytest.mark.parametrize("by", ["collection", "document", "version", "metadata", "combined"])
async def test_delete_removes_what_matches(store: VectorStore, by: str) -> None:
    space = a_space()
    gone = a_point(dense=(1.0, 0.0, 0.0), metadata={"old": True})
    kept = a_point(dense=(1.0, 0.0, 0.0), metadata={"old": False})
    await store.upsert(TENANT, space, [gone, kept])
    where = {
        "collection": VectorFilter((gone.collection_id,)),
        "document": VectorFilter(document_ids=(gone.document_id,)),
        "version": VectorFilter(version_ids=(gone.version_id,)),
        "metadata": VectorFilter(metadata={"old": True}),
        "combined": VectorFilter((gone.collection_id,), metadata={"old": True}),
    }[by]

    await store.delete(TENANT, space, VectorFilter((gone.collection_id,), (kept.document_id,)))
    untouched = await store.count(TENANT, space, ALL)
    await store.delete(TENANT, space, where)
    await store.delete(TENANT, space, where)

    assert untouched == 2
    assert ids(await store.list_points(TENANT, space, ALL, after=None, limit=9)) == [kept.chunk_id]
    assert ids(await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=9)) == [
        kept.chunk_id
    ]


async def test_empty_filter_deletes_all_of_one_tenant_in_one_space(store: VectorStore) -> None:
    space, elsewhere = a_space(), a_space()
    await store.upsert(TENANT, space, [a_point() for _ in range(300)])
    await store.upsert(OTHER, space, [a_point() for _ in range(3)])
    await store.upsert(TENANT, elsewhere, [a_point()])

    await store.delete(TENANT, space, ALL)

    assert await store.count(TENANT, space, ALL) == 0
    assert await store.count(OTHER, space, ALL) == 3
    assert await store.count(TENANT, elsewhere, ALL) == 1


# -- listing


async def test_listing_walks_all_points_in_order_of_ids(store: VectorStore) -> None:
    space = a_space(0)
    points = [a_point(chunk_id=UUID(int=n << 90 | 7)) for n in range(1, 402)]
    points += [a_point(chunk_id=LOWEST), a_point(chunk_id=HIGHEST)]
    await store.upsert(TENANT, space, points[::-1])
    await store.upsert(OTHER, space, [a_point() for _ in range(20)])
    seen: list[UUID] = []
    after: UUID | None = None

    while page := await store.list_points(TENANT, space, ALL, after=after, limit=150):
        assert len(page) <= 150
        seen += ids(page)
        after = page[-1].chunk_id

    assert seen == sorted(point.chunk_id for point in points)
    assert len(seen) == 403


async def test_listing_goes_on_past_an_id_that_is_gone(store: VectorStore) -> None:
    space = a_space(0)
    points = sorted((a_point() for _ in range(4)), key=lambda point: point.chunk_id)
    await store.upsert(TENANT, space, points)
    await store.delete(TENANT, space, VectorFilter(version_ids=(points[1].version_id,)))

    page = await store.list_points(TENANT, space, ALL, after=points[1].chunk_id, limit=9)
    nothing = await store.list_points(TENANT, space, ALL, after=None, limit=0)

    assert [(hit.chunk_id, hit.version_id, hit.score) for hit in page] == [
        (point.chunk_id, point.version_id, 0.0) for point in points[2:]
    ]
    assert nothing == []


# -- spaces


async def test_unopened_space_is_empty(store: VectorStore) -> None:
    space = a_space()

    await store.delete(TENANT, space, ALL)
    await store.set_metadata(TENANT, space, uuid4(), {"a": 1})

    assert not await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=5)
    assert not await store.search_dense(TENANT, space, (1.0, 0.0, 0.0), where=ALL, limit=5)
    assert not await store.list_points(TENANT, space, ALL, after=None, limit=5)
    assert await store.count(TENANT, space, ALL) == 0


async def test_opening_a_space_again_keeps_its_points(store: VectorStore) -> None:
    space = a_space()
    await store.ensure_space(space)
    await store.upsert(TENANT, space, [a_point()])

    await store.ensure_space(space)

    assert await store.count(TENANT, space, ALL) == 1


async def test_spaces_are_independent(store: VectorStore) -> None:
    lexical, dense = a_space(0), a_space(3)
    point = a_point()
    await store.upsert(TENANT, lexical, [point])
    await store.ensure_space(dense)

    assert await store.count(TENANT, lexical, ALL) == 1
    assert await store.count(TENANT, dense, ALL) == 0


async def test_thousands_of_points(store: VectorStore) -> None:
    """Every one is counted, one of them is found by its own term and by its own vector."""
    space = a_space(8)
    chance = random.Random(8)
    points = [
        a_point({1: 1.0, 1000 + n: 1.0}, [chance.gauss(0, 1) for _ in range(8)])
        for n in range(3000)
    ]
    await store.upsert(TENANT, space, points)
    needle = points[1234]
    assert needle.dense is not None

    lexical = await store.search_lexical(
        TENANT, space, terms({1: 1.0, 2234: 1.0}), where=ALL, limit=50
    )
    dense = await store.search_dense(TENANT, space, needle.dense, where=ALL, limit=50)

    assert await store.count(TENANT, space, ALL) == 3000
    assert len(lexical) == len(dense) == 50
    assert lexical[0].chunk_id == dense[0].chunk_id == needle.chunk_id
    assert [hit.score for hit in dense] == sorted((hit.score for hit in dense), reverse=True)


# -- the store itself


async def test_open_store_answers_a_ping(store: VectorStore) -> None:
    await store.ping()


async def test_closed_store_is_unavailable(store: VectorStore) -> None:
    space = a_space()
    await store.upsert(TENANT, space, [a_point()])

    await store.close()
    await store.close()

    with pytest.raises(Unavailable, match="retry"):
        await store.ping()
    with pytest.raises(Unavailable, match="retry"):
        await store.upsert(TENANT, space, [a_point()])
    with pytest.raises(Unavailable, match="retry"):
        await store.search_lexical(TENANT, space, terms({1: 1.0}), where=ALL, limit=5)
