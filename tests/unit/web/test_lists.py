"""Sitemaps and feeds of strangers."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest

from minirag.adapters.web.lists import LONGEST_TITLE, MOST_LISTS, read_list
from minirag.domain.sources import SourceKind
from minirag.services.ports.sources import Listed, ListUnreadable, PageList

SITE = "https://example.com"
SITES = frozenset({"example.com"})
SITEMAP = """<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"
        xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <url><loc> https://example.com/a </loc><lastmod>2026-01-01</lastmod>
    <image:image><image:loc>https://example.com/a.png</image:loc></image:image></url>
  <url><loc>https://www.example.com/b?x=1&amp;y=2#part</loc></url>
  <url><loc>https://elsewhere.example/c</loc></url>
  <url><loc>http://127.0.0.1/d</loc></url>
  <url><loc>https://example.com/a</loc></url>
  <url><loc></loc></url>
</urlset>"""


def read(text: str | bytes, kind: SourceKind = SourceKind.SITEMAP, *, limit: int = 100) -> PageList:
    content = text.encode() if isinstance(text, str) else text
    return read_list(kind, content, f"{SITE}/list.xml", sites=SITES, limit=limit)


def urls(found: PageList) -> list[str]:
    return [page.url for page in found.pages]


def test_sitemap_gives_the_pages_of_its_site_each_once() -> None:
    found = read(SITEMAP)

    assert urls(found) == ["https://example.com/a", "https://www.example.com/b?x=1&y=2"]
    assert not found.is_cut
    assert read(gzip.compress(SITEMAP.encode())) == found
    assert read("\ufeff" + SITEMAP) == found


def test_index_names_sitemaps_and_never_more_than_are_read() -> None:
    entries = "".join(f"<sitemap><loc>/s{n}.xml</loc></sitemap>" for n in range(MOST_LISTS + 1))
    found = read(f"<sitemapindex>{entries}</sitemapindex>")

    assert found.lists[:2] == (f"{SITE}/s0.xml", f"{SITE}/s1.xml")
    assert len(found.lists) == MOST_LISTS
    assert found.is_cut
    assert found.pages == ()


def test_sitemap_of_plain_text_is_read_by_lines() -> None:
    found = read(f"{SITE}/a\r\n{SITE}/b\nnot a url\nhttps://elsewhere.example/\n")

    assert urls(found)[:2] == [f"{SITE}/a", f"{SITE}/b"]
    assert "elsewhere" not in str(found)


def test_no_more_pages_than_wanted_are_taken() -> None:
    lines = "\n".join(f"{SITE}/{n}" for n in range(10))
    entries = "".join(f"<url><loc>{SITE}/{n}</loc></url>" for n in range(10))

    for text in (lines, f"<urlset>{entries}</urlset>"):
        found = read(text, limit=4)
        assert urls(found) == [f"{SITE}/{n}" for n in range(4)]
        assert found.is_cut
        assert not read(text, limit=10).is_cut


@pytest.mark.parametrize(
    "feed",
    [
        '<rss version="2.0" xmlns:media="http://search.yahoo.com/mrss/"><channel><title>Blog</title>'
        "<link>https://example.com/</link><item><media:title>no</media:title><title>One &amp; two"
        "</title><link>https://example.com/1</link></item><item><guid>https://example.com/2</guid>"
        '</item><item><guid isPermaLink="false">tag:3</guid></item></channel></rss>',
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>Blog</title><link href="https://example.com/"/>'
        '<entry><title type="html">One &amp;\n two</title><link rel="self" href="/self"/>'
        '<link rel="alternate" href="/1"/></entry><entry><link href="/2"/></entry></feed>',
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">'
        "<channel><link>https://example.com/</link></channel><item><title>One &amp; two</title>"
        "<link>https://example.com/1</link></item><item><link>https://example.com/2</link></item></rdf:RDF>",
    ],
    ids=["rss", "atom", "rdf"],
)
def test_feed_gives_its_entries_with_their_titles(feed: str) -> None:
    found = read(feed, SourceKind.FEED)

    assert found.pages == (Listed(f"{SITE}/1", "One & two"), Listed(f"{SITE}/2", ""))


def test_long_texts_are_cut() -> None:
    text = f"<rss><channel><item><title>{'t ' * 5000}</title><link>{SITE}/1</link></item></channel></rss>"
    (page,) = read(text, SourceKind.FEED).pages

    assert len(page.title) == LONGEST_TITLE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "well-formed"),
        ("<urlset><url>", "well-formed"),
        ("<!doctype html><html><br></html>", "well-formed"),
        ("<html/>", "begins with <html>"),
        ("<rss><channel/></rss>", "begins with <rss>"),
        (
            '<!DOCTYPE urlset [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><urlset>&b;</urlset>',
            "declares entities",
        ),
        (
            '<!DOCTYPE u [<!ENTITY x SYSTEM "file:///etc/passwd">]><urlset><url><loc>&x;</loc></url></urlset>',
            "declares entities",
        ),
        ('<!DOCTYPE u [<!ENTITY % p SYSTEM "http://127.0.0.1/">%p;]><urlset/>', "declares entities"),
        ("<urlset>" + "<url>" * 1000, "nested too deeply"),
        ('<?xml version="1.0" encoding="nonsense"?><urlset/>', "encoding"),
        (gzip.compress(b"<urlset/>", mtime=0)[:-6], "ends too early"),
        (b"\x1f\x8b" + b"junk" * 10, "damaged"),
    ],
)  # fmt: skip
def test_what_is_no_list_is_told_why(text: str | bytes, reason: str) -> None:
    with pytest.raises(ListUnreadable, match=reason):
        read(text)


def test_bomb_is_refused_in_little_memory() -> None:
    bomb = gzip.compress(b"<urlset>" + b" " * (60 * 1024 * 1024), compresslevel=9)

    tracemalloc.start()
    try:
        with pytest.raises(ListUnreadable, match="unpacks to more"):
            read(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(bomb) < 1024 * 1024
    assert peak < 8 * 1024 * 1024
