"""A small website: pages by path, and the requests that it got."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Answered:
    """What a path answers: a status, headers as they are sent, and a body."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip: bytes = b""
    """Sent for ever, ten times a second, after the body."""


@dataclass(frozen=True)
class Asked:
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    status: int


@dataclass
class Website:
    """Answers with `pages`, and 404 to other paths. With `has_etags` it knows its pages again (304)."""

    host: str = "127.0.0.1"
    port: int = 0
    pages: dict[str, Answered] = field(default_factory=dict)
    has_etags: bool = False
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def paths(self) -> list[str]:
        """What was asked for, robots.txt left out."""
        return [asked.path for asked in self.asked if asked.path != "/robots.txt"]

    def put(self, path: str, text: str | bytes, *, kind: str = "text/html", **headers: str) -> None:
        body = text.encode() if isinstance(text, str) else text
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = Answered(body, headers={"Content-Type": kind, **named})

    def put_status(self, path: str, status: int, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = Answered(b"", status, named)

    def put_page(self, path: str, text: str, title: str = "A page") -> None:
        self.put(
            path, f"<html><head><title>{title}</title></head><body><p>{text}</p></body></html>"
        )

    def put_sitemap(self, path: str, *urls: str) -> None:
        """URLs, or paths of this site."""
        entries = "".join(f"<url><loc>{self._whole(url)}</loc></url>" for url in urls)
        namespace = "http://www.sitemaps.org/schemas/sitemap/0.9"
        self.put(path, f'<urlset xmlns="{namespace}">{entries}</urlset>', kind="text/xml")

    def put_index(self, path: str, *urls: str) -> None:
        entries = "".join(f"<sitemap><loc>{self._whole(url)}</loc></sitemap>" for url in urls)
        self.put(path, f"<sitemapindex>{entries}</sitemapindex>", kind="text/xml")

    def _whole(self, url: str) -> str:
        return f"{self.url}{url}" if url.startswith("/") else url

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (text.split(": ", 1) for text in fields)}
        path = line.split(" ")[1]
        answer = self.pages.get(path, Answered(b"not here", 404))
        status, body, sent = answer.status, answer.body, dict(answer.headers)
        if self.has_etags and status == 200:
            sent["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            if headers.get("if-none-match") == sent["ETag"]:
                status, body = 304, b""
        self.asked.append(Asked(path, headers, status))
        lines = [f"HTTP/1.1 {status} Whatever"]
        if not answer.drip:
            sent.setdefault("Content-Length", str(len(body)))
        lines += [f"{name}: {value}" for name, value in sent.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        while answer.drip:
            writer.write(answer.drip)
            await writer.drain()
            await asyncio.sleep(0.1)


@asynccontextmanager
async def open_website(host: str = "127.0.0.1") -> AsyncIterator[Website]:
    """Listen on a free port of an address of this machine."""
    website = Website(host=f"[{host}]" if ":" in host else host)
    server = await asyncio.start_server(website.serve, host, 0)
    website.port = server.sockets[0].getsockname()[1]
    try:
        yield website
    finally:
        server.close()
        for writer in list(website.writers):
            writer.transport.abort()
        await server.wait_closed()
