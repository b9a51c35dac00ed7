"""Reading the web for sources, on real connections: no way inside, and no page without an end."""

from __future__ import annotations

import gzip
import socket
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from typing import Any

import pytest

from minirag.adapters.addresses import Address
from minirag.adapters.outbound import look_up
from minirag.adapters.web.reader import MOST_REDIRECTS, HttpWebReader
from minirag.services.ports.sources import Fetch, FetchOutcome, Validators
from tests.integration.sources.conftest import make_reader
from tests.support.website import Answered, Website, open_website

INNER, ALLOWED = "127.0.0.1", "127.0.0.2"
"""Two addresses of this machine, one of which the operator allows."""
NAME = "docs.example.test"
FAILED = FetchOutcome.FAILED


class Names:
    """A resolver that gives each answer once, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)

    async def __call__(self, host: str) -> list[Address]:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [ip_address(text) for text in answer]


@pytest.fixture
async def site() -> AsyncIterator[Website]:
    """Where a source may lead."""
    async with open_website(ALLOWED) as opened:
        yield opened


@pytest.fixture
async def inner() -> AsyncIterator[Website]:
    """Where none may lead."""
    async with open_website(INNER) as opened:
        opened.put_page("/", "the operator's secrets")
        yield opened


def reader(*answers: Sequence[str], **options: Any) -> HttpWebReader:
    resolve = Names(*answers) if answers else look_up
    return make_reader(**{"allowed": f"{ALLOWED}/32", "resolve": resolve, **options})


async def fetch(web: HttpWebReader, url: str, *, sites: Sequence[str] = (), **known: str) -> Fetch:
    """By default with every site in the URL's own words allowed, so that only the address is in the way."""
    allowed = web.sites(url, sites)
    return await web.fetch(url, sites=allowed, known=Validators(**known))


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/",
        "//127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://[::ffff:7f00:1]:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f000001:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://0.0.0.0:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/latest/meta-data/",
        "http://metadata@127.0.0.1:{port}/",
        "http://10.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/",
    ],
)
async def test_redirect_leads_into_no_inner_network(
    site: Website, inner: Website, location: str
) -> None:
    location = location.format(port=inner.port)
    site.put_status("/a", 302, Location=location)
    hosts = ["127.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]", "0.0.0.0"]
    allowed = [f"{host}:{inner.port}" for host in hosts]
    allowed += ["169.254.169.254", "[fd00:ec2::254]", "10.0.0.1"]

    fetched = await fetch(reader(), f"{site.url}/a", sites=allowed)

    assert fetched.outcome is FAILED
    assert fetched.content == b""
    assert site.paths == ["/a"]
    assert inner.connections == 0


async def test_redirects_of_robots_txt_lead_into_none_either(site: Website, inner: Website) -> None:
    site.put_status("/robots.txt", 301, Location=f"{inner.url}/robots.txt")
    site.put_page("/a", "text")

    fetched = await fetch(reader(), f"{site.url}/a")

    assert fetched.outcome is FAILED
    assert "robots.txt can't be read" in fetched.reason
    assert site.paths == []
    assert inner.connections == 0


async def test_name_that_turns_to_an_inner_address_between_two_requests_gets_no_connection(
    site: Website, inner: Website
) -> None:
    """DNS rebinding: each request looks the name up once, and goes to what was checked."""
    site.put_page("/a", "text")
    inner.put_page("/a", "the operator's secrets")
    url = f"http://{NAME}:{site.port}/a"
    web = reader([ALLOWED], [ALLOWED], [INNER])

    first = await fetch(web, url)
    second = await fetch(web, url)

    assert first.outcome is FetchOutcome.FETCHED
    assert second.outcome is FAILED
    assert "public address" in second.reason
    assert len(site.paths) == 1
    assert inner.connections == 0


@pytest.mark.parametrize(
    "addresses", [[ALLOWED, INNER], [INNER, ALLOWED], ["::ffff:127.0.0.1"], ["169.254.169.254"]]
)
async def test_one_inner_address_spoils_a_name(
    site: Website, inner: Website, addresses: list[str]
) -> None:
    fetched = await fetch(reader(addresses), f"http://{NAME}:{site.port}/a")

    assert fetched.outcome is FAILED
    assert site.connections == inner.connections == 0


async def test_redirect_within_the_site_is_followed_and_asks_robots_txt_again(
    site: Website,
) -> None:
    site.put("/robots.txt", "User-agent: *\nDisallow: /closed\n", kind="text/plain")
    site.put_status("/a", 301, Location="b?x=1")
    site.put_page("/b?x=1", "text")
    site.put_status("/c", 302, Location="/closed/d")
    site.put_page("/closed/d", "text")
    web = reader()

    followed = await fetch(web, f"{site.url}/a")
    closed = await fetch(web, f"{site.url}/c")

    assert (followed.outcome, followed.url) == (FetchOutcome.FETCHED, f"{site.url}/b?x=1")
    assert closed.outcome is FetchOutcome.BLOCKED
    assert "/closed/d" not in site.paths


async def test_redirect_to_another_site_is_told_and_not_followed(site: Website) -> None:
    async with open_website(ALLOWED) as other:
        other.put_page("/b", "text")
        site.put_status("/a", 301, Location=f"{other.url}/b")

        refused = await fetch(reader(), f"{site.url}/a")
        connections = other.connections
        followed = await fetch(reader(), f"{site.url}/a", sites=[other.url.removeprefix("http://")])

    assert refused.outcome is FAILED
    assert "another site" in refused.reason
    assert connections == 0
    assert followed.outcome is FetchOutcome.FETCHED


async def test_redirects_in_a_circle_end(site: Website) -> None:
    site.put_status("/a", 302, Location="/b")
    site.put_status("/b", 302, Location="/a")

    fetched = await fetch(reader(), f"{site.url}/a")

    assert fetched.outcome is FAILED
    assert len(site.paths) == MOST_REDIRECTS + 1


@pytest.mark.parametrize("packed", [True, False])
async def test_page_is_read_up_to_its_limit_and_not_further(site: Website, packed: bool) -> None:
    body = b"x" * 100_000
    for path, text in (("/fits", body), ("/over", body + b"x")):
        if packed:
            site.put(path, gzip.compress(text), Content_Encoding="gzip")
        else:
            site.put(path, text)
    site.pages["/endless"] = Answered(drip=b"x" * 65536)
    web = reader(most_bytes=100_000)

    fits = await fetch(web, f"{site.url}/fits")
    over = await fetch(web, f"{site.url}/over")
    endless = await fetch(web, f"{site.url}/endless")

    assert fits.content == body
    assert over.outcome is endless.outcome is FAILED
    assert "larger than 100000 bytes" in over.reason


async def test_packed_bomb_is_stopped_as_it_unpacks(site: Website) -> None:
    site.put("/bomb", gzip.compress(bytes(30_000_000)), Content_Encoding="gzip")
    site.put("/broken", b"\x1f\x8bnonsense", Content_Encoding="gzip")
    site.put("/cut", gzip.compress(b"text" * 1000)[:-8], Content_Encoding="gzip")
    site.put("/other", b"text", Content_Encoding="br")

    outcomes = [
        (await fetch(reader(), f"{site.url}{path}")).outcome
        for path in ("/bomb", "/broken", "/cut", "/other")
    ]

    assert outcomes == [FAILED] * 4


async def test_page_that_drips_and_one_that_never_comes_run_into_the_time_limit(
    site: Website,
) -> None:
    site.pages["/drips"] = Answered(b"text", drip=b"x")
    web = reader(seconds=0.6)

    dripping = await fetch(web, f"{site.url}/drips")
    with socket.socket() as silent:
        silent.bind((ALLOWED, 0))
        silent.listen()
        url = f"http://{ALLOWED}:{silent.getsockname()[1]}/"
        quiet = await fetch(reader(seconds=0.6), url)

    assert dripping.outcome is quiet.outcome is FAILED
    assert "127" not in dripping.reason + quiet.reason


async def test_what_is_known_is_asked_for_by_its_validators(site: Website) -> None:
    site.has_etags = True
    site.put("/a", "text", Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")
    web = reader()

    first = await fetch(web, f"{site.url}/a")
    second = await fetch(
        web,
        f"{site.url}/a",
        etag=first.validators.etag,
        last_modified=first.validators.last_modified,
    )

    assert second.outcome is FetchOutcome.UNCHANGED
    headers = site.asked[-1].headers
    assert headers["if-none-match"] == first.validators.etag
    assert headers["if-modified-since"] == "Thu, 01 Jan 2026 00:00:00 GMT"


async def test_page_that_changed_just_now_is_not_told_by_its_time(site: Website) -> None:
    """It may change again within the second that Last-Modified counts in."""
    site.put(
        "/a",
        "text",
        Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT",
        Date="Thu, 01 Jan 2026 00:00:30 GMT",
    )

    fetched = await fetch(reader(), f"{site.url}/a")

    assert fetched.validators == Validators()


async def test_headers_that_could_smuggle_others_are_not_sent_back(site: Website) -> None:
    site.put("/a", "text", ETag="x" * 5000, Last_Modified="\x7fyesterday")

    fetched = await fetch(reader(), f"{site.url}/a")

    assert fetched.validators == Validators()


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(404, FetchOutcome.FETCHED), (410, FetchOutcome.FETCHED), (401, FetchOutcome.FETCHED),
     (500, FAILED), (502, FAILED), (429, FetchOutcome.BUSY), (503, FetchOutcome.BUSY)],
)  # fmt: skip
async def test_robots_txt_that_is_not_there_allows_and_one_that_fails_does_not(
    site: Website, status: int, outcome: FetchOutcome
) -> None:
    site.put_status("/robots.txt", status)
    site.put_page("/a", "text")

    fetched = await fetch(reader(), f"{site.url}/a")

    assert fetched.outcome is outcome
    assert site.paths == (["/a"] if outcome is FetchOutcome.FETCHED else [])


@pytest.mark.parametrize(
    ("asked", "pause"), [("7", 7.0), ("86400", 600.0), ("", 30.0), ("soon", 30.0), ("0", 1.0)]
)
async def test_pause_that_a_site_asks_for_is_bounded(
    site: Website, asked: str, pause: float
) -> None:
    site.put_status("/a", 429, **({"Retry_After": asked} if asked else {}))

    fetched = await fetch(reader(), f"{site.url}/a")

    assert (fetched.outcome, fetched.pause) == (FetchOutcome.BUSY, pause)


async def test_fault_of_ours_fails_that_page_and_no_other(
    site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.put_page("/a", "text")
    web = reader()

    with monkeypatch.context() as patch:
        patch.setattr("minirag.adapters.web.reader._kept", None)
        broken = await fetch(web, f"{site.url}/a")
    whole = await fetch(web, f"{site.url}/a")

    assert broken.outcome is FAILED
    assert not broken.is_silent
    assert whole.outcome is FetchOutcome.FETCHED


async def test_unknown_kinds_and_charsets_are_passed_on_as_nothing(site: Website) -> None:
    site.put("/plain", "text", kind="text/plain; charset=ISO-8859-1")
    site.put("/odd", "text", kind=";;;=")
    site.pages["/none"] = Answered(b"text")
    site.put("/empty", b"")
    web = reader()

    plain, odd, none, empty = [
        await fetch(web, f"{site.url}{path}") for path in ("/plain", "/odd", "/none", "/empty")
    ]

    assert (plain.media_type, plain.charset) == ("text/plain", "iso-8859-1")
    assert (odd.media_type, odd.charset) == ("text/plain", "")
    assert none.media_type == ""
    assert (empty.outcome, empty.reason) == (FAILED, "answered with nothing")
