"""Etags and page tokens: round trips, and what isn't one of ours."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from minirag.api.etags import decode_etag, encode_etag
from minirag.api.page_tokens import decode_page_token, encode_page_token, list_scope

SCOPE = list_scope("/a/List", b"tenant", b"filters")
KEY = bytes(range(16))


@given(resource=st.uuids(), revision=st.integers(min_value=0, max_value=2**63 - 1))
def test_an_etag_gives_back_its_revision(resource: UUID, revision: int) -> None:
    assert decode_etag(resource, encode_etag(resource, revision)) == revision


@given(resource=st.uuids(), text=st.text(max_size=20))
def test_any_text_is_no_etag(resource: UUID, text: str) -> None:
    assert decode_etag(resource, text) is None


def test_a_revision_beyond_the_database_is_no_etag() -> None:
    resource = UUID(int=1)

    assert decode_etag(resource, encode_etag(resource, 2**63)) is None


@given(key=st.binary(min_size=16, max_size=16))
def test_a_page_token_gives_back_its_key(key: bytes) -> None:
    assert decode_page_token(SCOPE, encode_page_token(SCOPE, key), 16) == key


@given(text=st.text(max_size=60))
def test_any_text_is_no_page_token(text: str) -> None:
    assert decode_page_token(SCOPE, text, 16) is None


def test_a_page_token_is_good_for_its_own_list_only() -> None:
    token = encode_page_token(SCOPE, KEY)

    for other in (
        list_scope("/a/Other", b"tenant", b"filters"),
        list_scope("/a/List", b"another", b"filters"),
        list_scope("/a/List", b"tenant", b"other filters"),
        list_scope("/a/List", b"tenantfilters", b""),
    ):
        assert decode_page_token(other, token, 16) is None


def test_a_changed_or_shortened_page_token_is_refused() -> None:
    token = encode_page_token(SCOPE, KEY)

    for index, character in enumerate(token):
        changed = token[:index] + ("A" if character != "A" else "B") + token[index + 1 :]
        # The last character of base64 has bits that mean nothing, or are checked to be zero.
        assert decode_page_token(SCOPE, changed, 16) in (
            None,
            KEY if index == len(token) - 1 else None,
        )
    for length in range(len(token)):
        assert decode_page_token(SCOPE, token[:length], 16) is None
    assert decode_page_token(SCOPE, token + "=", 16) is None
    assert decode_page_token(SCOPE, token, 8) is None
