"""Tokens of changes: what they hold comes back, and nothing else passes for one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirag.api.resume_tokens import (
    MAX_TEXT,
    decode_resume_token,
    decode_revision_token,
    encode_resume_token,
    encode_revision_token,
    watch_scope,
)
from minirag.domain.access import TenantContext
from minirag.domain.changes import Horizon, RevisionMark, WatchPosition
from minirag.domain.documents import DocumentFilter

TENANT = uuid4()
SCOPE = watch_scope(TenantContext(TENANT), DocumentFilter())
NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
POSITION = WatchPosition(
    told=Horizon(1000, 1010, (1000, 1003, 1009)),
    upto=Horizon(1011, 1011),
    after=(1005, uuid4()),
    time=NOW,
    snapshot_count=3,
    is_snapshot_over=True,
)


@st.composite
def horizons(draw: st.DrawFn) -> Horizon:
    oldest = draw(st.integers(0, 2**62))
    running = draw(st.lists(st.integers(0, 1000), unique=True, max_size=20))
    numbers = tuple(sorted(oldest + each for each in running))
    return Horizon(oldest, oldest + 1001, numbers)


positions = st.builds(
    WatchPosition,
    told=st.none() | horizons(),
    upto=st.none() | horizons(),
    after=st.none() | st.tuples(st.integers(0, 2**62), st.uuids()),
    time=st.integers(0, 10**9).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    snapshot_count=st.integers(0, 10**9),
    is_snapshot_over=st.booleans(),
)


@given(positions)
def test_position_comes_back_from_its_token(position: WatchPosition) -> None:
    token = encode_resume_token(SCOPE, position)

    assert decode_resume_token(SCOPE, token) == position


def test_token_names_a_hundred_running_transactions_in_few_bytes() -> None:
    running = tuple(range(5_000_000_000, 5_000_000_100))
    position = WatchPosition(
        Horizon(running[0], running[-1] + 1, running), None, None, NOW, 0, False
    )

    assert len(encode_resume_token(SCOPE, position)) < 200 < MAX_TEXT


OTHERS = {
    "another tenant": watch_scope(TenantContext(uuid4()), DocumentFilter()),
    "a collection": watch_scope(TenantContext(TENANT), DocumentFilter(collection_id=uuid4())),
    "a document": watch_scope(TenantContext(TENANT), DocumentFilter(document_ids=(uuid4(),))),
    "a key of some collections": watch_scope(
        TenantContext(TENANT, collection_ids=frozenset({uuid4()})), DocumentFilter()
    ),
    "a key of no collection": watch_scope(
        TenantContext(TENANT, collection_ids=frozenset()), DocumentFilter()
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_token_is_of_one_watch_alone(other: str) -> None:
    assert decode_resume_token(OTHERS[other], encode_resume_token(SCOPE, POSITION)) is None


def test_order_of_the_watched_documents_makes_no_other_watch() -> None:
    one, two = uuid4(), uuid4()
    context = TenantContext(TENANT)

    first = watch_scope(context, DocumentFilter(document_ids=(one, two)))

    assert watch_scope(context, DocumentFilter(document_ids=(two, one, two))) == first


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_changed_token_is_none(at: int, byte: int) -> None:
    token = encode_resume_token(SCOPE, POSITION)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    at %= len(raw)
    if raw[at] == byte:
        byte ^= 1
    raw[at] = byte

    assert decode_resume_token(SCOPE, base64.urlsafe_b64encode(raw).decode().rstrip("=")) is None


@given(
    st.text(max_size=80)
    | st.binary(max_size=80).map(lambda b: base64.urlsafe_b64encode(b).decode())
)
def test_any_other_text_is_none(text: str) -> None:
    assert decode_resume_token(SCOPE, text) is None
    assert decode_revision_token(TENANT, text) is None


def test_cut_token_is_none() -> None:
    token = encode_resume_token(SCOPE, POSITION)

    assert all(decode_resume_token(SCOPE, token[:end]) is None for end in range(len(token)))


def test_revision_comes_back_for_its_tenant_alone() -> None:
    mark = RevisionMark(UUID(int=7), 300)
    token = encode_revision_token(TENANT, mark)

    assert len(token) <= 100
    assert decode_revision_token(TENANT, token) == mark
    assert decode_revision_token(uuid4(), token) is None
    assert decode_resume_token(SCOPE, token) is None
