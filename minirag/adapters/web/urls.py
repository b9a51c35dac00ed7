"""One spelling for one address, and which addresses belong to one site."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote, urljoin

from minirag.adapters.outbound import PORTS, Target, parse_target
from minirag.services.ports.outbound import TargetRefused

LONGEST_JOINED = 4000
_KEPT = "!#$%&'()*+,/:;=?@[]~-._"
_ALLOWED_HOST = re.compile(r"[a-z0-9.:_\[\]-]{1,253}", re.ASCII)


def normalise(url: str, base: str = "") -> str:
    """Return `url` with its host in lower case and without default port and fragment.

    Relative ones are joined to `base`. Letters beyond ASCII in path and query are percent-encoded as
    browsers do. Raises `TargetRefused` for what two programs could read differently.
    """
    text = url.strip()[:LONGEST_JOINED]
    if base:
        try:
            text = urljoin(base, text)
        except ValueError:
            raise TargetRefused("isn't a URL") from None
    text = text.partition("#")[0]
    scheme, colon, rest = text.partition("://")
    authority = re.match(r"[^/?]*", rest)
    if colon and authority is not None:
        end = authority.end()
        text = f"{scheme}://{rest[:end]}{quote(rest[end:], safe=_KEPT)}"
    return spell(parse_target(text))


def spell(target: Target) -> str:
    return f"{target.scheme}://{target.authority}{target.path}"


def site_of(target: Target) -> str:
    """Pages with the same site are one website: `www.` and the scheme make no difference, other ports do."""
    host = target.host.removeprefix("www.")
    host = f"[{host}]" if ":" in host else host
    return host if target.port in PORTS.values() else f"{host}:{target.port}"


def sites(url: str, allowed_hosts: Sequence[str]) -> frozenset[str]:
    """The site of a URL and those of further hosts, as in `docs.example.com` or `127.0.0.1:8080`."""
    found = {site_of(parse_target(url))}
    for host in allowed_hosts:
        lowered = host.lower()
        if _ALLOWED_HOST.fullmatch(lowered) is None:
            raise TargetRefused(f"{host[:100]!r} isn't a host, as in docs.example.com")
        found.add(site_of(parse_target(f"https://{lowered}/")))
    return frozenset(found)
