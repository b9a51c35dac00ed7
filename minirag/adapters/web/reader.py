"""Fetches pages as a polite robot does: robots.txt asked, redirects checked hop by hop, sites given time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from email.message import Message
from email.utils import format_datetime, parsedate_to_datetime

import structlog

from minirag.adapters.outbound import GuardedClient, Page, Target, parse_target
from minirag.adapters.retry_after import read_retry_after
from minirag.adapters.web import lists, urls
from minirag.adapters.web.robots import ALLOW_ALL, MOST_BYTES, Robots, parse_robots
from minirag.domain.sources import SourceKind
from minirag.services.clock import utc_now
from minirag.services.ports.outbound import TargetFailed, TargetRefused, TargetTooLarge
from minirag.services.ports.sources import Fetch, FetchOutcome, PageList, Validators

log = structlog.get_logger()

MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
ROBOTS_SECONDS = 10.0
ROBOTS_KEPT_SECONDS = 3600.0
FAILURE_KEPT_SECONDS = 60.0
"""For one that can't be read, so that not every page waits for it."""
SITES_KEPT = 5000
LIST_BYTES = 20 * 1024 * 1024
"""Of a sitemap or feed as it is sent."""
LONGEST_WAIT_IN_PLACE = 1.0
DEFAULT_PAUSE = 30.0
LONGEST_PAUSE = 600.0
"""More isn't waited for, whatever Retry-After says."""
LONGEST_HEADER = 1000
SURE_AFTER = timedelta(minutes=1)


class _Stopped(Exception):
    """Ends a fetch early with its result."""

    def __init__(self, fetch: Fetch) -> None:
        super().__init__(fetch.reason)
        self.fetch = fetch


class HttpWebReader:
    """One per process: it remembers what each site asks for, and when it was asked last."""

    def __init__(
        self,
        client: GuardedClient,
        *,
        user_agent: str,
        seconds: float,
        most_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`seconds` and `most_bytes` are of one page; robots know us by the first word of `user_agent`."""
        self._client = client
        self._user_agent = user_agent
        self._robot = user_agent.split(maxsplit=1)[0].partition("/")[0]
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._clock = clock
        self._robots: OrderedDict[str, tuple[Robots | Fetch, float]] = OrderedDict()
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def normalise(self, url: str) -> str:
        return urls.normalise(url)

    def sites(self, url: str, allowed_hosts: Sequence[str]) -> frozenset[str]:
        return urls.sites(url, allowed_hosts)

    async def check(self, url: str) -> None:
        await self._client.check(url)

    async def read_list(
        self, kind: SourceKind, fetched: Fetch, *, sites: frozenset[str], limit: int
    ) -> PageList:
        return await asyncio.to_thread(
            lists.read_list, kind, fetched.content, fetched.url, sites=sites, limit=limit
        )

    async def fetch(
        self, url: str, *, sites: frozenset[str], known: Validators, is_list: bool = False
    ) -> Fetch:
        headers = {"User-Agent": self._user_agent, "Accept": "*/*"}
        if known.etag:
            headers["If-None-Match"] = known.etag
        if known.last_modified:
            headers["If-Modified-Since"] = known.last_modified
        most = LIST_BYTES if is_list else self._most_bytes
        try:
            return await self._follow(url, headers, sites, most)
        except _Stopped as stopped:
            return stopped.fetch
        except TargetTooLarge:
            return _failed(f"is larger than {most} bytes, more than this server takes")
        except TargetRefused as error:
            return _failed(f"wasn't asked for: its URL {error}")
        except TargetFailed as error:
            return _silent(str(error))
        except Exception:  # what strangers send mustn't keep the other pages from being read
            log.exception("page_not_fetched")
            return _failed("couldn't be read: the server's log tells more")

    async def _follow(
        self, url: str, headers: dict[str, str], sites: frozenset[str], most: int
    ) -> Fetch:
        deadline = self._clock() + self._seconds
        at = url
        for _ in range(MOST_REDIRECTS + 1):
            target = parse_target(at)
            if urls.site_of(target) not in sites:
                return _failed(
                    f"leads to another site, {urls.site_of(target)}: name it in allowed_hosts if it is"
                    " wanted"
                )
            robots = await self._read_robots(target)
            if not robots.allows(target.path):
                return Fetch(FetchOutcome.BLOCKED, reason="robots.txt forbids it")
            await self._take_turn(target, robots.delay)
            left = max(deadline - self._clock(), 0.1)
            page = await self._client.get(at, headers, seconds=left, most_bytes=most)
            location = page.headers.get("location", "")
            if page.status not in REDIRECTS or not location:
                return self._judge(target, at, page)
            at = urls.normalise(location, at)
        return _failed(f"leads from one address to the next more than {MOST_REDIRECTS} times")

    def _judge(self, target: Target, at: str, page: Page) -> Fetch:
        status = page.status
        if status in (429, 503):
            return self._note_busy(target, page)
        if status == 304:
            return Fetch(FetchOutcome.UNCHANGED, status)
        if status in (404, 410):
            return Fetch(FetchOutcome.GONE, status, f"answered {status}")
        if not 200 <= status < 300:
            return Fetch(FetchOutcome.FAILED, status, f"answered {status}")
        if not page.body:
            return Fetch(FetchOutcome.FAILED, status, "answered with nothing")
        kind = Message()
        kind["content-type"] = page.headers.get("content-type", "")[:LONGEST_HEADER]
        charset = kind.get_content_charset()
        return Fetch(
            FetchOutcome.FETCHED,
            status,
            url=at,
            content=page.body,
            media_type=kind.get_content_type() if "content-type" in page.headers else "",
            charset=charset if isinstance(charset, str) else "",
            validators=Validators(_kept(page, "etag"), _sure_last_modified(page)),
        )

    def _note_busy(self, target: Target, page: Page) -> Fetch:
        asked = read_retry_after(page.headers.get("retry-after", ""))
        pause = min(DEFAULT_PAUSE if asked is None else max(asked, 1.0), LONGEST_PAUSE)
        self._reserve(target, pause)
        return Fetch(FetchOutcome.BUSY, page.status, f"answered {page.status}", pause=pause)

    async def _take_turn(self, target: Target, delay: float) -> None:
        """Wait until the site may be asked again. Raises `_Stopped` when that takes long."""
        wait = self._free_at.get(target.authority, 0.0) - self._clock()
        if wait > LONGEST_WAIT_IN_PLACE:
            reason = "the site asks for time between two requests"
            raise _Stopped(Fetch(FetchOutcome.EARLY, reason=reason, pause=wait))
        self._reserve(target, max(wait, 0.0) + delay)
        if wait > 0:
            await asyncio.sleep(wait)

    def _reserve(self, target: Target, seconds: float) -> None:
        """Nobody asks the site for so long."""
        until = self._clock() + seconds
        self._free_at[target.authority] = max(self._free_at.get(target.authority, 0.0), until)
        self._free_at.move_to_end(target.authority)
        while len(self._free_at) > SITES_KEPT:
            self._free_at.popitem(last=False)

    async def _read_robots(self, target: Target) -> Robots:
        """What the site asks for, as of the last hour. Raises `_Stopped` when nobody can tell."""
        origin = f"{target.scheme}://{target.authority}"
        kept = self._robots.get(origin)
        if kept is not None and kept[1] > self._clock():
            if isinstance(kept[0], Fetch):
                raise _Stopped(kept[0])
            return kept[0]
        try:
            robots = await self._ask_robots(f"{origin}/robots.txt", target)
        except _Stopped as stopped:
            if stopped.fetch.outcome is FetchOutcome.FAILED:
                self._remember(origin, stopped.fetch, FAILURE_KEPT_SECONDS)
            raise
        self._remember(origin, robots, ROBOTS_KEPT_SECONDS)
        return robots

    def _remember(self, origin: str, found: Robots | Fetch, seconds: float) -> None:
        self._robots[origin] = (found, self._clock() + seconds)
        self._robots.move_to_end(origin)
        while len(self._robots) > SITES_KEPT:
            self._robots.popitem(last=False)

    async def _ask_robots(self, url: str, target: Target) -> Robots:
        """RFC 9309, 2.3.1: followed over redirects, a 4xx allows everything, and what fails nothing."""
        at = url
        headers = {"User-Agent": self._user_agent}
        for _ in range(MOST_REDIRECTS + 1):
            try:
                page = await self._client.get(
                    at,
                    headers,
                    seconds=min(ROBOTS_SECONDS, self._seconds),
                    most_bytes=4 * MOST_BYTES,
                )
            except (TargetRefused, TargetFailed) as error:
                raise _Stopped(_silent(f"its robots.txt can't be read: {error}")) from None
            if page.status in REDIRECTS and page.headers.get("location"):
                at = urls.normalise(page.headers["location"], at)
                continue
            if page.status in (429, 503):
                raise _Stopped(self._note_busy(target, page))
            if 200 <= page.status < 300:
                return parse_robots(page.body[:MOST_BYTES].decode("utf-8", "replace"), self._robot)
            if page.status >= 500:
                raise _Stopped(_failed(f"its robots.txt can't be read: answered {page.status}"))
            return ALLOW_ALL
        return ALLOW_ALL


def _failed(reason: str) -> Fetch:
    return Fetch(FetchOutcome.FAILED, reason=reason)


def _silent(reason: str) -> Fetch:
    return replace(_failed(reason), is_silent=True)


def _sure_last_modified(page: Page) -> str:
    """The time of the last change, unless a later one could bear the same: it counts in seconds, and clocks
    differ (RFC 9110, 8.8.2.2)."""
    value = _kept(page, "last-modified")
    try:
        changed = parsedate_to_datetime(value)
        date = parsedate_to_datetime(page.headers.get("date", "") or format_datetime(utc_now()))
        return value if date - changed >= SURE_AFTER else ""
    except (ValueError, TypeError, OverflowError):
        return ""


def _kept(page: Page, name: str) -> str:
    """A header to be sent back; nothing if it can't be."""
    value = page.headers.get(name, "").strip()
    return value if len(value) <= LONGEST_HEADER and value.isascii() and value.isprintable() else ""
