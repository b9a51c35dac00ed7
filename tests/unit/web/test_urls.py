"""One spelling for one address, and what counts as the same site."""

from __future__ import annotations

import pytest

from minirag.adapters.outbound import parse_target
from minirag.adapters.web.urls import normalise, site_of, sites
from minirag.services.ports.outbound import TargetRefused

BASE = "https://example.com/docs/index.html"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://EXAMPLE.com:443", "https://example.com/"),
        ("http://example.com:80/a", "http://example.com/a"),
        ("https://example.com/a?b=c#part", "https://example.com/a?b=c"),
        (" https://example.com/a\n", "https://example.com/a"),
        ("../up", "https://example.com/up"),
        ("//other.example/x", "https://other.example/x"),
        ("?page=2", "https://example.com/docs/index.html?page=2"),
        ("/straße über", "https://example.com/stra%C3%9Fe%20%C3%BCber"),
        ("/a%20b", "https://example.com/a%20b"),
    ],
)
def test_one_address_has_one_spelling(url: str, expected: str) -> None:
    assert normalise(url, BASE) == expected
    assert normalise(expected) == expected


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "javascript:alert(1)",
        "mailto:a@example.com",
        "file:///etc/passwd",
        "https://user:secret@example.com/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://exämple.com/",
        "https://example.com:22/",
        "https://example.com\\@127.0.0.1/",
        "https://[::1/",
        "https://example.com/" + "a" * 3000,
        "",
    ],
)
def test_what_two_programs_could_read_differently_is_refused(url: str) -> None:
    with pytest.raises(TargetRefused):
        normalise(url)


def test_joining_never_leads_into_another_scheme() -> None:
    for url in ("ftp://example.com/", "javascript:alert(1)", "http://[", "data:text/html,x"):
        with pytest.raises(TargetRefused):
            normalise(url, BASE)


def test_www_and_scheme_make_no_other_site_and_ports_do() -> None:
    def site(url: str) -> str:
        return site_of(parse_target(url))

    assert site("https://www.example.com/") == site("http://example.com/") == "example.com"
    assert site("https://docs.example.com/") != "example.com"
    assert site("http://127.0.0.1:8080/") == "127.0.0.1:8080"
    assert site("http://[::1]:8080/") == "[::1]:8080"


def test_allowed_hosts_are_sites_and_nothing_else_is() -> None:
    found = sites("https://example.com/", ["docs.example.com", "WWW.other.example:8443"])

    assert found == {"example.com", "docs.example.com", "other.example:8443"}
    for wrong in ("", "https://x.example", "a/b", "user@x.example", "x.example?", "ü.example", "1"):
        with pytest.raises(TargetRefused):
            sites("https://example.com/", [wrong])
