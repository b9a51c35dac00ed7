"""The text of an API key."""

from __future__ import annotations

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from minirag.domain.tenants import ALL_SCOPES
from minirag.services.api_keys import ParsedKey, digest, format_key, mint_key, parse_key

KEY_ID = UUID(int=0x0198C0F3C5F27F0EA8B1C2D3E4F50617)
SECRET = "0123456789abcdef" * 3


@given(st.uuids(), st.text("0123456789abcdef", min_size=48, max_size=48))
def test_formatted_key_is_parsed_into_its_parts(key_id: UUID, secret: str) -> None:
    assert parse_key(format_key(key_id, secret)) == ParsedKey(key_id, secret)


def test_format_stays_as_it_was() -> None:
    assert format_key(KEY_ID, SECRET) == (
        "mrk_0198c0f3c5f27f0ea8b1c2d3e4f50617_"
        "0123456789abcdef0123456789abcdef0123456789abcdef64bf800c"
    )
    assert len(format_key(KEY_ID, SECRET)) == 93


@given(st.integers(0, 92), st.characters(codec="utf-8"))
def test_one_wrong_character_anywhere_is_noticed(place: int, character: str) -> None:
    text = format_key(KEY_ID, SECRET)
    changed = text[:place] + character + text[place + 1 :]

    assert parse_key(changed) == (ParsedKey(KEY_ID, SECRET) if changed == text else None)


@given(st.text(st.characters()))
def test_any_other_text_is_no_key(text: str) -> None:
    assert parse_key(text) is None


@given(st.text(st.characters(), min_size=56, max_size=56))
def test_text_of_a_keys_shape_with_any_characters_is_no_key(secret: str) -> None:
    assert parse_key(f"mrk_{KEY_ID.hex}_{secret}") is None


def test_other_spellings_of_the_same_id_are_no_key() -> None:
    text = format_key(KEY_ID, SECRET)

    assert parse_key(text.upper()) is None
    assert parse_key(f" {text}") is None
    assert parse_key(text.replace(KEY_ID.hex, str(KEY_ID))) is None


def test_minted_keys_differ_and_only_their_digest_is_kept() -> None:
    first, first_text = mint_key(uuid4(), display_name="A", scopes=ALL_SCOPES)
    _, second_text = mint_key(uuid4(), display_name="B", scopes=ALL_SCOPES)

    parsed = parse_key(first_text)
    assert parsed is not None
    assert first_text != second_text
    assert first.id == parsed.key_id
    assert first.secret_digest == digest(parsed.secret)
    assert parsed.secret not in repr(first)
