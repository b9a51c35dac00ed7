"""`minirag source`, against a node that may read a website on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Cli


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The URL of a website of two pages and a sitemap."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path)))
    url = f"http://127.0.0.1:{server.server_port}"
    for name in ("alpacas", "herons"):
        text = (
            f"<html><head><title>{name}</title></head><body><p>All about {name}.</p></body></html>"
        )
        (tmp_path / f"{name}.html").write_text(text)
    entries = "".join(
        f"<url><loc>{url}/{n}.html</loc></url>" for n in ("alpacas", "herons", "gone")
    )
    (tmp_path / "sitemap.xml").write_text(f"<urlset>{entries}</urlset>")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield url
    server.shutdown()
    thread.join()
    server.server_close()


def test_source_is_made_looked_at_changed_refreshed_and_ended(tenant: Cli, site: str) -> None:
    tenant.run("collection", "create", "Web")
    made = tenant.run(
        "source", "create", f"{site}/sitemap.xml", "--kind", "sitemap", "--collection", "Web",
        "--name", "Animals", "--metadata", "from=web", "--wait",
    )  # fmt: skip
    [source] = tenant.json("source", "list", "--collection", "Web")["sources"]
    pages = tenant.json("source", "pages", source["id"])["pages"]
    missing = tenant.run("source", "pages", source["id"], "--state", "missing").stdout
    tenant.run("source", "update", source["id"], "--every", 60, "--keep-missing")
    refreshed = tenant.json("source", "refresh", source["id"], "--wait")["source"]
    listed = tenant.run("source", "list").stdout
    ended = tenant.run("source", "delete", source["id"])

    assert "3 pages, 2 documents." in made.stdout
    assert source["metadata"] == {"from": "web"}
    assert [page["state"].removeprefix("SOURCE_PAGE_STATE_") for page in pages] == [
        "STORED",
        "STORED",
        "MISSING",
    ]
    assert f"{site}/gone.html" in missing
    assert "answered 404" in missing
    assert "alpacas" not in missing
    assert (refreshed["refresh_minutes"], refreshed["refresh_count"]) == (60, "2")
    assert refreshed["keep_missing"]
    assert "Animals" in listed
    assert "its documents stay" in ended.stdout
    assert tenant.json("source", "list") == {"sources": []}
    assert len(tenant.json("documents", "list")["documents"]) == 2


def test_source_that_cannot_be_refreshed_fails_the_command_that_waits(
    tenant: Cli, site: str
) -> None:
    tenant.run("collection", "create", "Web")

    failed = tenant.run(
        "source", "create", f"{site}/nothing.xml", "--kind", "feed", "--collection", "Web",
        "--wait", code=1,
    )  # fmt: skip

    assert "answered 404" in failed.stderr


def test_wrong_usage_and_inner_targets_are_refused(tenant: Cli) -> None:
    tenant.run("collection", "create", "Web")
    inner = ("source", "create", "https://169.254.169.254/", "--collection", "Web")

    assert "public address" in tenant.run(*inner, code=5).stderr
    tenant.run(*inner, "--kind", "everything", code=2)
    tenant.run("source", "update", "src_1", code=2)
    tenant.run("source", "refresh", "src_1", code=3)
