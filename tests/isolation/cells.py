"""The cells of the isolation matrix: RPC x id-bearing field x what it holds x who calls."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from google.protobuf.message import Message
from grpc import StatusCode

from minirag.api.etags import encode_etag
from minirag.api.method_table import Caller as Takes
from minirag.api.page_tokens import encode_page_token
from minirag.domain.access import TenantContext
from minirag.domain.ids import encode_id
from tests.isolation.callers import Caller
from tests.isolation.contract import Rpc, put, step_into
from tests.isolation.entries import (
    Entry,
    Etag,
    Free,
    Names,
    PageToken,
    RequestId,
    Secret,
    Token,
    Unread,
    Whose,
)
from tests.isolation.estates import Estate
from tests.isolation.kinds import KINDS

TOKEN_ATTEMPTS = 40
OK = StatusCode.OK
INVALID = StatusCode.INVALID_ARGUMENT
NOT_FOUND = StatusCode.NOT_FOUND
UNAUTHENTICATED = StatusCode.UNAUTHENTICATED
DENIED = StatusCode.PERMISSION_DENIED
CURRENT = "<the etag of the moment>"
FRESH = "<a secret just made>"
USED_ELSEWHERE = "<a request_id of theirs>"
NEVER_USED = "<a new request_id>"


@dataclass(frozen=True)
class Cell:
    """One call, and the code that it must end with. `values` are the fields that it sets, by path.

    Cells of the same `group` (and RPC, field and caller) must be answered alike, save the value sent.
    """

    rpc: Rpc
    field: str
    variant: str
    caller: Caller
    values: Mapping[str, str]
    code: StatusCode | None
    """None for any but OK."""
    reason: str = ""
    group: str = ""

    @property
    def name(self) -> str:
        return f"{self.rpc.name} {self.field or '-'} {self.variant} by {self.caller.name}"


@dataclass
class Variant:
    """What a field may hold, before anybody's rights are asked."""

    name: str
    values: Mapping[str, str]
    code: StatusCode
    group: str = ""


@dataclass
class Planner:
    """Makes the cells of two tenants. All that is foreign is read before the first cell is played."""

    ours: Estate
    theirs: Estate
    _variants_of: dict[tuple[str, str, bool], list[Variant]] = field(default_factory=dict)

    async def plan(
        self, rpc: Rpc, entry: Entry, callers: Sequence[Caller], *, complete: bool
    ) -> list[Cell]:
        """The RPC's cells: for each caller one with a valid request, then all of its fields.

        The first who is let in gets every variant; unless `complete`, the others get the foreign one.
        """
        cells: list[Cell] = []
        is_first = True
        for caller in callers:
            refusal = caller.refused(rpc)
            if caller.is_restricted:
                if refusal is not None:
                    continue
                cells += self._of_restricted(rpc, entry, caller)
                continue
            paths = rpc.id_fields
            if refusal is None or complete or not paths:
                whole = Variant("own", {}, entry.own)
                cells.append(_cell(rpc, entry, "", whole, caller, refusal))
            else:
                del paths[1:]  # who isn't let in is told so before the request is read
            for path in paths:
                as_platform = caller.is_platform and rpc.rule.caller is not Takes.TENANT
                for variant in await self._variants(rpc, entry, path, as_platform=as_platform):
                    if complete or (is_first and refusal is None) or variant.name == "foreign":
                        cells.append(_cell(rpc, entry, path, variant, caller, refusal))
            is_first = is_first and refusal is not None
        return cells

    async def _variants(
        self, rpc: Rpc, entry: Entry, path: str, *, as_platform: bool
    ) -> list[Variant]:
        key = (rpc.name, path, as_platform)
        if key not in self._variants_of:
            self._variants_of[key] = await self._read_variants(
                rpc, entry, path, as_platform=as_platform
            )
        return self._variants_of[key]

    async def _read_variants(
        self, rpc: Rpc, entry: Entry, path: str, *, as_platform: bool
    ) -> list[Variant]:
        wanted = entry.fields[path]
        if isinstance(wanted, Names):
            found = self._of_names(path, wanted)
            if as_platform and not rpc.names_its_tenant:  # whose they are is nothing to it
                found = [each for each in found if not each.name.startswith("foreign")]
            return found
        if isinstance(wanted, Whose):
            return self._of_whose(path, as_platform=as_platform)
        if isinstance(wanted, Etag):
            return await self._of_etag(path, wanted)
        if isinstance(wanted, PageToken):
            return await self._of_page_token(rpc, entry, path, as_platform=as_platform)
        if isinstance(wanted, Token):
            tokens = {
                "own": await wanted.read(self.ours),
                "foreign": await wanted.read(self.theirs),
                "malformed": "no-token-at-all",
            }
            return [
                Variant(name, {path: token}, OK if name == "own" else INVALID, _unless_own(name))
                for name, token in tokens.items()
            ]
        if isinstance(wanted, RequestId):
            return [
                Variant("own", {path: NEVER_USED}, OK),
                Variant("foreign", {path: USED_ELSEWHERE}, OK),
                Variant("missing", {path: ""}, OK),
                Variant("malformed", {path: "not-a-uuid"}, wanted.malformed),
            ]
        if isinstance(wanted, Free):
            return [
                Variant("own", {path: f"own-{uuid4()}"}, OK),
                Variant("foreign", {path: wanted.foreign(self.theirs)}, OK),
                Variant("missing", {path: ""}, OK),
            ]
        if isinstance(wanted, Secret):
            return [
                Variant("own", {path: FRESH}, OK),
                Variant("foreign", {path: wanted.guess(self.theirs)}, UNAUTHENTICATED, "secret"),
                Variant(
                    "missing",
                    {path: _of_nobody(wanted.guess(self.theirs))},
                    UNAUTHENTICATED,
                    "secret",
                ),
            ]
        assert isinstance(wanted, Unread)
        foreign = self.theirs.ids[wanted.kind]
        return [
            Variant("own", {path: self.ours.ids[wanted.kind]}, OK),
            Variant("foreign", {path: foreign}, OK),
            Variant("missing", {path: _missing(wanted.kind)}, OK),
            Variant("malformed", {path: f"{foreign}x"}, OK),
        ]

    def _of_restricted(self, rpc: Rpc, entry: Entry, caller: Caller) -> list[Cell]:
        """Our own things outside of its collection are to it as those of another tenant."""
        cells = []
        for path, wanted in entry.fields.items():
            outside = self.ours.outside.get(wanted.kind) if isinstance(wanted, Names) else None
            if not isinstance(wanted, Names) or outside is None:
                continue
            ids = {
                "outside": outside,
                "foreign": self.theirs.ids[wanted.kind],
                "missing": _missing(wanted.kind),
            }
            code = OK if wanted.absent is OK else None
            cells += [
                Cell(rpc, path, name, caller, {path: named}, code, group="outside")
                for name, named in ids.items()
            ]
        return cells

    def _of_names(self, path: str, wanted: Names) -> list[Variant]:
        foreign = self.theirs.ids[wanted.kind]
        absent = wanted.absent
        variants = [
            Variant("own", {path: self.ours.ids[wanted.kind]}, OK),
            Variant("foreign", {path: foreign}, absent, "absent"),
            Variant("missing", {path: _missing(wanted.kind)}, absent, "absent"),
        ]
        if deleted := self.ours.deleted.get(wanted.kind):
            if wanted.after_deletion is None:
                variants.append(Variant("deleted", {path: deleted}, absent, "absent"))
            else:
                variants.append(Variant("deleted", {path: deleted}, wanted.after_deletion))
        if gone := self.theirs.deleted.get(wanted.kind):
            variants.append(Variant("foreign deleted", {path: gone}, absent, "absent"))
        if wanted.malformed is None:
            variants.append(Variant("malformed", {path: f"{foreign}x"}, absent, "absent"))
        else:
            variants.append(Variant("malformed", {path: f"{foreign}x"}, wanted.malformed))
        return variants

    def _of_whose(self, path: str, *, as_platform: bool) -> list[Variant]:
        ids = {
            "own": self.ours.tenant_id,
            "foreign": self.theirs.tenant_id,
            "missing": _missing("tenant"),
            "malformed": f"{self.theirs.tenant_id}x",
        }
        if not as_platform:
            # To a tenant the field is closed, whatever it holds, its own id included.
            return [Variant(name, {path: each}, INVALID, "closed") for name, each in ids.items()]
        del ids["foreign"]  # every tenant is the platform's own
        return [
            Variant(name, {path: each}, OK if name == "own" else NOT_FOUND)
            for name, each in ids.items()
        ]

    async def _of_etag(self, path: str, wanted: Etag) -> list[Variant]:
        read = KINDS[wanted.kind].etag
        assert read is not None, wanted
        foreign_id, missing_id = self.theirs.ids[wanted.kind], _missing(wanted.kind)
        foreign = await read(self.theirs, foreign_id)
        variants = [
            Variant("own", {path: CURRENT}, OK),
            Variant("foreign", {path: foreign}, INVALID, "etag"),
            Variant("missing", {path: encode_etag(uuid4(), 1)}, INVALID, "etag"),
            Variant("malformed", {path: "no-etag-at-all"}, INVALID, "etag"),
        ]
        if wanted.kind == "tenant":
            return variants
        pairs = {
            "foreign with its etag": (foreign_id, foreign),
            "foreign with an old etag": (foreign_id, encode_etag(_raw(foreign_id), 1000)),
            "missing with an etag": (missing_id, encode_etag(_raw(missing_id), 1)),
        }
        return variants + [
            Variant(name, {wanted.of: named, path: etag}, NOT_FOUND, "absent")
            for name, (named, etag) in pairs.items()
        ]

    async def _of_page_token(
        self, rpc: Rpc, entry: Entry, path: str, *, as_platform: bool
    ) -> list[Variant]:
        as_platform = as_platform or rpc.rule.caller is Takes.PLATFORM
        tokens = {}
        for name, estate in (("own", self.ours), ("foreign", self.theirs)):
            request = build(rpc, entry, estate, as_platform=as_platform)
            bearer = estate.platform if as_platform else estate.bearer
            # A call that empties its list, as RetryFailed does, finds it filled again a little later.
            for _ in range(TOKEN_ATTEMPTS):
                page = (await estate.wire.attempt(rpc, [request], bearer)).responses[0]
                tokens[name] = page.next_page_token
                if tokens[name]:
                    break
                await asyncio.sleep(0.5)
            assert tokens[name], f"{rpc.name}: the list is too short to have a second page"
        if as_platform and not rpc.names_its_tenant:
            del tokens["foreign"]  # the platform's list is one for all
        tokens |= {
            "missing": encode_page_token(os.urandom(32), os.urandom(16)),
            "malformed": "no-token-at-all",
        }
        return [
            Variant(name, {path: token}, OK if name == "own" else INVALID, _unless_own(name))
            for name, token in tokens.items()
        ]


def build(rpc: Rpc, entry: Entry, estate: Estate, *, as_platform: bool) -> Message:
    """A valid request of the estate's; the platform says for whom it asks."""
    request = entry.request(estate)
    if as_platform and rpc.names_its_tenant:
        put(request, "tenant_id", estate.tenant_id)
    return request


async def fill(cell: Cell, entry: Entry, ours: Estate, request_ids: list[str]) -> list[Message]:
    """The messages of a cell's call. What it will use up is made first."""
    request = build(cell.rpc, entry, ours, as_platform=cell.caller.is_platform)
    values = {
        path: request_ids.pop() if value == USED_ELSEWHERE else value
        for path, value in cell.values.items()
    }
    values = {path: str(uuid4()) if v == NEVER_USED else v for path, v in values.items()}
    if cell.code is OK and not cell.caller.is_restricted:
        if entry.before is not None:
            await entry.before(ours)
        alone = {p: kind for p, kind in entry.alone.items() if p == cell.field}
        for path, kind in (alone or entry.uses).items():
            values[path] = await ours.fresh(kind)
        for path, wanted in entry.fields.items():
            if isinstance(wanted, Secret):
                values.setdefault(path, FRESH)
    for path, value in values.items():
        if value == FRESH:
            secret = entry.fields[path]
            assert isinstance(secret, Secret)
            value = await secret.fresh(ours)  # noqa: PLW2901  # as below
        if value == CURRENT:
            wanted = entry.fields[path]
            assert isinstance(wanted, Etag)
            read = KINDS[wanted.kind].etag
            assert read is not None
            of = values.get(wanted.of) or _get(request, wanted.of)
            value = await read(ours, of)  # noqa: PLW2901  # what stood there is a sign for this
        put(request, path, value)
    return [request, *entry.rest]


def count_used_elsewhere(cells: Iterable[Cell]) -> int:
    return sum(USED_ELSEWHERE in cell.values.values() for cell in cells)


def _cell(
    rpc: Rpc,
    entry: Entry,
    path: str,
    variant: Variant,
    caller: Caller,
    refusal: tuple[StatusCode, str] | None,
) -> Cell:
    if refusal is None:
        if _falls_short(entry, caller):
            code = DENIED if variant.code is OK else None
            return Cell(rpc, path, variant.name, caller, variant.values, code)
        return Cell(
            rpc, path, variant.name, caller, variant.values, variant.code, group=variant.group
        )
    code, reason = refusal
    # Who isn't let in learns nothing from any id: all such answers are one.
    values = {key: v for key, v in variant.values.items() if v not in (CURRENT, FRESH)}
    values = {key: str(uuid4()) if v == USED_ELSEWHERE else v for key, v in values.items()}
    return Cell(rpc, path, variant.name, caller, values, code, reason, "refused")


def _falls_short(entry: Entry, caller: Caller) -> bool:
    """True for a key that lacks scopes which the service asks for beside the method table."""
    principal = caller.principal
    return (
        isinstance(principal, TenantContext)
        and principal.role is None
        and bool(entry.also_needs - principal.scopes)
    )


def _missing(kind: str) -> str:
    return encode_id(KINDS[kind].prefix, uuid4())


def _of_nobody(guess: str) -> str:
    """The same guess at the secret of something that isn't there."""
    return re.sub("[0-9a-f]{32}(?=_)", lambda _: uuid4().hex, guess)


def _raw(encoded: str) -> UUID:
    return UUID(hex=encoded.partition("_")[2])


def _get(request: Message, path: str) -> str:
    value: object = request
    for step in path.split("."):
        value = step_into(value, step)
    assert isinstance(value, str)
    return value


def _unless_own(variant: str) -> str:
    return "" if variant == "own" else "token"
