"""Bytes to clean text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirag.adapters.parsing.charsets import decode
from minirag.adapters.parsing.cleaning import clean
from minirag.adapters.parsing.content import Content

GERMAN = "Grüße aus Köln: Die Bäume blühen, und die Vögel singen schöne Lieder. " * 3
RUSSIAN = "Привет, мир! Это простой текст на русском языке, и его надо прочитать. " * 3
JAPANESE = "これは日本語の文章です。文字コードを正しく判定できますか。" * 5

FRENCH = "Le café de l’été coûte 5 € – déjà vu, où êtes-vous ? Ça va très bien, merci. "
SPANISH = "El niño comió mañana una piña; ¿cómo estás? España está al sur. "
PORTUGUESE = "A informação não está disponível. São Paulo é a maior cidade. "
SWEDISH = "Räksmörgås på ön är gott. Åsa åker till Malmö. "
POLISH = "Zażółć gęślą jaźń. Wszystkiego najlepszego, proszę przyjść o piątej. "
CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy. Všechno nejlepší k narozeninám. "
TURKISH = "Bugün hava çok güzel, İstanbul yağmur yağıyor. Şimdi gidiyoruz. "


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        (GERMAN, "utf-8"),
        (GERMAN, "utf-8-sig"),
        (GERMAN, "utf-16"),
        (GERMAN, "utf-16-le"),
        (GERMAN, "utf-16-be"),
        (GERMAN, "utf-32"),
        (GERMAN, "cp1252"),
        (FRENCH, "cp1252"),
        (FRENCH * 20, "cp1252"),
        (SPANISH, "latin-1"),
        (PORTUGUESE, "latin-1"),
        (SWEDISH, "cp1252"),
        ("The board met. It’s fine.", "cp1252"),
        ("It costs 5 €.", "cp1252"),
        ("20 °C outside.", "latin-1"),
        (POLISH, "cp1250"),
        (CZECH, "cp1250"),
        (TURKISH, "cp1254"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
    ],
)
def test_common_charsets_are_read(text: str, charset: str) -> None:
    assert Content(text.encode(charset)).text == text


def test_a_declared_charset_is_believed() -> None:
    page = "<html><head><meta charset='iso-8859-2'></head><body>Łódź, Kraków</body></html>"
    assert "Łódź" in (decode(page.encode("iso-8859-2")) or "")


def test_a_few_broken_bytes_leave_utf8_what_it_is() -> None:
    damaged = (GERMAN * 3).encode()[:-1] + b"\xc3"
    text = decode(damaged) or ""
    assert text.startswith("Grüße aus Köln")
    assert text.endswith("\ufffd")


def test_controls_are_not_text() -> None:
    assert decode(bytes(range(32)) * 10) is None


@given(st.binary(max_size=400))
def test_any_bytes_become_clean_text_or_none(data: bytes) -> None:
    text = Content(data).text
    if text is not None:
        text.encode()
        assert "\0" not in text
        assert "\r" not in text


@given(st.text(st.characters()))  # surrogates included
def test_cleaning_is_final(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert clean(cleaned).removeprefix("\ufeff") == cleaned.removeprefix("\ufeff")


def test_line_ends_nul_and_surrogates_are_cleaned() -> None:
    assert clean("\ufeffa\r\nb\rc\0d\ud83d\ude00e\udc00") == "a\nb\ncd😀e\ufffd"
