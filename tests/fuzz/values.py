"""Strategies for single values: what a field of that name would hold, and what it never should.

Ids are drawn as references, to what the estate holds when the request is sent: a seed gives the same requests
whatever ids the server deals out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from hypothesis import strategies as st

from minirag.domain.ids import IdKind


class Ref(NamedTuple):
    """An id to be looked up: `which` is own, foreign, missing, or another type's."""

    kind: str
    which: str
    index: int


class Remembered(NamedTuple):
    """A text that the server gave out: an etag or a page token."""

    name: str
    index: int


PASSWORD = "planted-password-of-nobody-else"
Text = str | Ref | Remembered

INT32 = (0, 1, 2, 3, 5, 20, 100, 1000, 1001, -1, -(2**31), 2**31 - 1)
INT64 = (*INT32, 2**31, 2**32, 2**53 + 1, -(2**63), 2**63 - 1)
DOUBLES = (
    0.0, -0.0, 0.1, 0.5, 1.0, 1.5, 100.0, -1.0, 1e-320, 1e308, -1e308,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
SECONDS = (0, 1, -1, 1_700_000_000, 4_000_000_000, 253_402_300_799, 253_402_300_800,
           -62_135_596_800, -62_135_596_801, 2**63 - 1, -(2**63))  # fmt: skip
FUTURES = (4_000_000_000, 2_000_000_000)
NANOS = (0, 0, 0, 1, 999_999_999, 1_000_000_000, -1, 2**31 - 1, -(2**31))

HOSTILE_TEXTS = (
    "", " ", "\t\n", "\0", "a\0b", "'", "' OR 1=1 --", "%s%n", "{0}", "{{7*7}}", "../../etc/passwd",
    "\u202e\u200b\ufeff", "\ud7ff\ue000\uffff", "😀" * 50, "İ", "ß" * 300, "e\u0301" * 100,
    "x" * 201, "x" * 2001, "x" * 10_000, "y " * 50_000, "<script>", "NaN", "null", "-1", "\r\n\r\n",
)  # fmt: skip
HOSTILE_BYTES = (
    b"", b"\0", b"\xff\xfe", b"%PDF-1.7\n", b"PK\x03\x04", b"x" * 100_000, bytes(1000),
    b"A plain text about kilns and glazes.",
)  # fmt: skip
MALFORMED_IDS = (
    "", "doc_", "ten_" + "z" * 32, "0" * 36, "col_" + "0" * 31, "COL_" + "0" * 32, "\0", "ü",
    "doc_" + "٣" * 32, "x" * 10_000, "doc_' --", "_", "key_" + "f" * 33,
)  # fmt: skip
REQUEST_IDS = (
    "", "", "", "1", "0190a6f1-5e9c-4f0e-8d3c-2b1a09f8e7d6", "0190A6F1-5E9C-4F0E-8D3C-2B1A09F8E7D6",
    "00000000-0000-0000-0000-000000000000", "{0190a6f1-5e9c-4f0e-8d3c-2b1a09f8e7d6}",
)  # fmt: skip
# What a person would write there, by the field's name. No name of a host that isn't this machine's.
PLAUSIBLE: dict[str, tuple[str, ...]] = {
    "slug": ("acme", "a1", "acme-works"),
    "tenant_slug": ("acme", "nobody-here"),
    "email": ("ann@example.org", "bob@example.org", "no-address"),
    "password": (PASSWORD, "short"),
    "current_password": (PASSWORD, "wrong horse battery staple"),
    "new_password": ("another horse battery staple", "short"),
    "url": (
        "http://127.0.0.1:1025/hook",
        "http://127.0.0.1:1025/hook",
        "https://[::1]/",
        "http://10.0.0.1/",
        "ftp://127.0.0.1/",
    ),
    "model": (
        "",
        "openai/mock-chat",
        "extractive",
        "openai/mock-chat.tokens-3",
        "openai/mock-embed",
    ),
    "embedding_model": ("", "", "openai/mock-embed", "openai/nothing-offered"),
    "provider": ("openai", "anthropic", "nobody"),
    "api_key": ("sk-fuzz-key-of-somebody",),
    "currency": ("USD", "EUR"),
    "text": ("Clay is fired at 1200 degrees.", "# Kilns\n\nA kiln is an oven."),
    "content": ("How hot is the kiln?", "Why?"),
    "query": ("kiln", "How hot is the kiln?"),
    "sample_queries": ("kiln", "How hot is the kiln?"),
    "media_type": ("text/plain", "application/pdf", "text/markdown", "nonsense"),
    "file_name": ("kiln.txt", "kiln.pdf", "../kiln", ".txt"),
    "display_name": ("Kilns", "Potters' books"),
    "external_id": ("kiln-1", "kiln-2"),
    "sha256": ("0" * 64, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    "time_zone": ("Europe/Zurich", "UTC", "Nowhere"),
    "paths": ("*", "", "id", "display_name", "state", "metadata"),
    "method": ("/minirag.v1.TenantService/CreateApiKey", "CreateTenant"),
    "outcome": ("OK", "NOT_FOUND"),
    "event_types": ("document.ready", "answer.completed"),
}
_NUMBERED = ("slug", "email", "external_id", "display_name")
"""What may have to be another one each time."""
REMEMBERED = ("etag", "page_token", "refresh_token", "resume_token", "min_revision")
ALSO_REMEMBERED = ("email", "tenant_slug")
"""What the person of the estate signs in with."""

_KINDS = {kind.name.lower(): kind.value for kind in IdKind}
_ALL_KINDS = sorted(_KINDS.values())
_NO_IDS = ("request_id", "external_id", "correlation_id")


def texts(name: str, owner: str, *, careful: bool) -> st.SearchStrategy[Text]:
    """What a string field may hold; `owner` is the name of its message."""
    hostile = st.sampled_from(("",) if careful else HOSTILE_TEXTS)
    if name == "request_id":
        fresh = st.uuids(version=4).map(str)
        return fresh if careful else st.one_of(st.sampled_from(REQUEST_IDS), fresh)
    if careful and name in {"sha256", "etag"}:
        return st.just("")
    if name in REMEMBERED:
        remembered = st.builds(Remembered, st.just(name), st.integers(0, 9))
        return _mostly(st.one_of(st.just(""), st.just(""), remembered), hostile)
    if careful and name == "tenant_id":  # for the platform key only, in most places
        return st.one_of(st.just(""), _ids(name, owner, careful=True))
    if re.search(r"(^|_)ids?$", name) and name not in _NO_IDS:
        return _ids(name, owner, careful=careful)
    plausible = PLAUSIBLE.get(name, ("Kilns", "x"))
    if name in ALSO_REMEMBERED and owner.startswith("SignIn"):
        return _mostly(st.builds(Remembered, st.just(name), st.just(0)), st.sampled_from(plausible))
    if careful and name not in _NUMBERED:
        return st.sampled_from(plausible)
    numbered = st.builds("n{1}{0}".format, st.sampled_from(plausible), st.integers(0, 10_000))
    usual = st.one_of(st.sampled_from(plausible), numbered)
    return usual if careful else _mostly(usual, st.one_of(hostile, st.text(max_size=40)))


def binary(*, careful: bool) -> st.SearchStrategy[bytes]:
    if careful:
        return st.sampled_from(HOSTILE_BYTES[-1:])
    return st.one_of(st.sampled_from(HOSTILE_BYTES), st.binary(max_size=200))


def integers(bits: int, *, signed: bool, careful: bool) -> st.SearchStrategy[int]:
    if careful:
        return st.sampled_from((0, 0, 1, 2, 3, 5, 20))
    chosen = INT32 if bits == 32 else INT64
    if not signed:
        chosen = tuple(each for each in chosen if each >= 0)
    return st.one_of(st.sampled_from(chosen[:6]), st.sampled_from(chosen))


def doubles(*, careful: bool) -> st.SearchStrategy[float]:
    if careful:
        return st.sampled_from((0.0, 0.1, 0.5, 1.0))
    return st.one_of(st.sampled_from(DOUBLES[:6]), st.sampled_from(DOUBLES))


def _ids(name: str, owner: str, *, careful: bool) -> st.SearchStrategy[Text]:
    noun = re.sub(r"_?ids?$", "", name)
    if not noun:  # `id`: the message's own
        noun = re.sub(r"(?<!^)(?=[A-Z])", "_", owner).lower()
    # `parent_document_id` names a document.
    fitting = [value for kind, value in _KINDS.items() if f"_{noun}".endswith(f"_{kind}")]
    fitting = fitting or [value for kind, value in _KINDS.items() if kind.endswith(f"_{noun}")]
    kinds = st.sampled_from(fitting[-1:] or _ALL_KINDS)
    index = st.integers(0, 9)
    if careful:
        return st.builds(Ref, kinds, st.just("own"), index)
    which = st.sampled_from(("own",) * 8 + ("foreign", "missing", "alien"))
    return _mostly(st.builds(Ref, kinds, which, index), st.sampled_from(MALFORMED_IDS))


def _mostly(
    usual: st.SearchStrategy[Text], rare: st.SearchStrategy[Text]
) -> st.SearchStrategy[Text]:
    return st.sampled_from((usual,) * 5 + (rare,)).flatmap(lambda chosen: chosen)
