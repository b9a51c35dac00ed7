"""What a running server answers to whom: the isolation matrix, how long the answers take, and what reaches
answers and prompts when the vector store's filters are gone."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from google.protobuf.message import Message
from grpc import StatusCode
from minirag_sdk.v1 import chat_service_pb2 as chat
from minirag_sdk.v1 import document_service_pb2 as document

from minirag.api.method_table import METHOD_TABLE
from minirag.domain.access import TenantContext
from minirag.domain.ids import IdKind
from minirag.domain.retrieval import VectorHit
from minirag.repositories.postgres import chunks
from minirag.services.retrieval import Retriever, SearchPlan
from tests.isolation.callers import gather_callers
from tests.isolation.cells import Cell, Planner, count_used_elsewhere, fill
from tests.isolation.conftest import COMPLETE, Served
from tests.isolation.contract import RPCS
from tests.isolation.entries import Entry, Etag, Names, Unread
from tests.isolation.estates import OUTSIDE, Estate, wait_ready
from tests.isolation.kinds import KINDS
from tests.isolation.mutated_statements import without_tenant
from tests.isolation.table import TABLE
from tests.isolation.tally import TALLY
from tests.isolation.timing import TOLERANCE, Call, compare_medians, differ
from tests.isolation.vector_mutants import (
    ENGINES,
    VectorMutant,
    given_away,
    list_mutants,
    show_foreign,
)
from tests.isolation.wire import Outcome
from tests.isolation.witness import Canaries, read_blobs, read_points, read_rows
from tests.support.rows import raw

# The first one waits for the whole deployment.
pytestmark = [pytest.mark.timeout(300), pytest.mark.long]

AT_ONCE = 8
TELLING_OF_CALLS = ("TenantService/ListAuditEvents", "TenantService/ExportTenant")
"""They tell a tenant which ids its own callers tried, foreign ones among them."""
TIMED_ROUNDS = 200 if COMPLETE else 25


def served_table() -> dict[str, Entry]:
    return {name: entry for name, entry in TABLE.items() if RPCS[name].path in METHOD_TABLE}


async def settle(estates: tuple[Estate, Estate]) -> None:
    kinds = {"assistant", "conversation", "api_key"}
    for entry in served_table().values():
        kinds |= set(entry.uses.values())
        kinds |= {f.kind for f in entry.fields.values() if isinstance(f, Names | Etag | Unread)}
    for estate in estates:
        await estate.settle(kinds)


async def plan(ours: Estate, theirs: Estate) -> list[Cell]:
    callers = await gather_callers(ours)
    planner = Planner(ours, theirs)
    cells: list[Cell] = []
    for name, entry in served_table().items():
        cells += await planner.plan(RPCS[name], entry, callers, complete=COMPLETE)
    return cells


async def lay_in(cells: list[Cell], ours: Estate) -> None:
    """Make what the cells will use up and a worker has to make: later it will have a lot to do."""
    wanted = Counter(
        kind
        for cell in cells
        if cell.code is StatusCode.OK and not cell.caller.is_restricted
        for kind in TABLE[cell.rpc.name].uses.values()
        if KINDS[kind].takes_a_worker
    )
    for kind, count in wanted.items():
        await ours.lay_in(kind, count)


async def authorization_of(cell: Cell, entry: Entry, ours: Estate) -> str | None:
    """The caller's credential, or one of the same rights for a call that ends its session."""
    principal = cell.caller.principal
    if entry.ends_session and isinstance(principal, TenantContext) and principal.role:
        return await ours.sign_in(await ours.make_user(principal.role))
    return cell.caller.authorization


async def use_request_ids(theirs: Estate, count: int) -> list[str]:
    """Ids under which the other tenant has had an outcome kept."""
    ids = [str(uuid4()) for _ in range(count)]
    for each in ids:
        request = document.UpdateCollectionRequest(
            collection=document.Collection(id=theirs.ids["collection"], description="the same"),
            request_id=each,
        )
        request.update_mask.paths.append("description")
        await theirs.send(request)
    return ids


def neutral(cell: Cell, outcome: Outcome) -> tuple[Cell, Outcome]:
    for value in cell.values.values():
        outcome = outcome.without(value)
    return cell, outcome.without_places()


async def witness(served: Served, theirs: Estate) -> dict[str, list[str]]:
    tenant_id = raw(IdKind.TENANT, theirs.tenant_id)
    found = dict(await read_rows(served.database.owner_url, tenant_id))
    found["points"] = read_points(served.vectors.edge, tenant_id)
    found["blobs"] = read_blobs(served.directory / "blobs", tenant_id)
    return found


async def prepare(served: Served, cell: Cell, entry: Entry, ours: Estate) -> Call:
    parts = await fill(cell, entry, ours, [])

    async def call() -> None:
        await served.wire.attempt(cell.rpc, parts, cell.caller.authorization)

    return call


QUESTION = "Which word opens the vault of the castle?"
MODES = (
    document.RETRIEVAL_MODE_LEXICAL,
    document.RETRIEVAL_MODE_DENSE,
    document.RETRIEVAL_MODE_HYBRID,
)


@dataclass(frozen=True)
class Asked:
    """What came of searching in every mode and asking one question."""

    outcomes: list[Outcome]
    prompts: str
    """All that the provider was sent."""
    hits: list[VectorHit]

    def shows(self, canary: str) -> bool:
        answers = "".join(text for outcome in self.outcomes for text in outcome.texts())
        return canary in answers or canary in self.prompts


async def ask(served: Served, asker: Estate) -> Asked:
    served.provider.reset()
    served.vectors.hits.clear()
    outcomes = []
    for mode in MODES:
        settings = document.RetrievalSettings(mode=mode, limit=10)
        request = document.SearchRequest(query=QUESTION, retrieval=settings)
        outcomes.append(await attempt(served, "DocumentService/Search", request, asker))
    request = chat.SendMessageRequest(content=QUESTION)
    request.retrieval.limit = 10
    outcomes.append(await attempt(served, "ChatService/SendMessage", request, asker))
    bodies = [json.dumps(each.body) for each in served.provider.requests()]
    return Asked(outcomes, "".join(bodies), list(served.vectors.hits))


async def attempt(served: Served, name: str, request: Message, asker: Estate) -> Outcome:
    outcome = await served.wire.attempt(RPCS[name], [request], asker.bearer)
    assert outcome.code is StatusCode.OK, outcome
    return outcome


@pytest.mark.parametrize("engine", ENGINES)
async def test_no_foreign_text_reaches_an_answer_or_a_prompt_without_the_vector_filter(
    served: Served, estates: tuple[Estate, Estate], monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    ours, theirs = estates
    foreign = set((await witness(served, theirs))["ids"])
    monkeypatch.setattr(served.vectors, "active", engine)
    plain = await ask(served, ours)
    searching = [m for m in list_mutants(engine) if not m.function or "search" in m.function]
    assert len(searching) == 3

    for mutant in searching:
        with mutant.active(monkeypatch, drop_all=True):
            mutated = await ask(served, ours)

        if mutant.function.endswith(".search_lexical"):  # counts words, and finds nothing by itself
            assert mutated.hits != plain.hits, mutant
        else:
            assert show_foreign(mutated.hits, foreign), mutant
        assert not mutated.shows(theirs.canary), mutant
        assert ours.canary in mutated.prompts
        TALLY.note_mutants("vector queries, by what is answered", 1, 1, 1)
    assert not show_foreign(plain.hits, foreign)


async def test_row_level_security_alone_keeps_foreign_text_from_answers_and_prompts(
    served: Served, estates: tuple[Estate, Estate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No vector filter, no tenant in the query that reads texts, no look at their collections."""
    ours, theirs = estates
    take_all_locks_but_one(monkeypatch)

    with VectorMutant("edge").active(monkeypatch, drop_all=True):
        guarded = await ask(served, ours)
        await set_row_level_security(served, "DISABLE")
        try:
            naked = await ask(served, ours)
        finally:
            await set_row_level_security(served, "ENABLE")
    # What leaked is kept in the answer, where the matrix would find it again.
    leaked = naked.outcomes[-1].responses[0].started.conversation_id
    await ours.send(chat.DeleteConversationRequest(conversation_id=leaked))

    assert not guarded.shows(theirs.canary)
    assert theirs.canary in naked.prompts, "a leak would not have been seen"
    TALLY.note_mutants("all other locks at once", 1, 1, 1)


async def test_points_stored_as_anothers_show_that_other_nothing(
    served: Served, estates: tuple[Estate, Estate], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = estates
    with given_away(monkeypatch, raw(IdKind.TENANT, theirs.tenant_id)):
        request = document.CreateDocumentRequest(
            collection_id=ours.ids["scratch"],
            text=f"{QUESTION} The vault of the castle: {ours.canary}.",
        )
        made = await ours.send(request)
        await wait_ready(ours, [made.document.id])
    mine = set((await witness(served, ours))["ids"])

    with VectorMutant("edge").active(monkeypatch, drop_all=True):
        asked = await ask(served, theirs)

    assert show_foreign(asked.hits, mine)
    assert not asked.shows(ours.canary)
    TALLY.note_mutants("vector queries, by what is answered", 1, 1, 1)


class Everything(frozenset[UUID]):
    """A set that holds whatever it is asked for."""

    def __contains__(self, _: object) -> bool:
        return True


def take_all_locks_but_one(patch: pytest.MonkeyPatch) -> None:
    """The tenant's condition of the query that reads texts, and the retriever's look at collections."""
    patch.setattr(chunks, "_READ_PUBLISHED", without_tenant(chunks._READ_PUBLISHED))
    read = Retriever._read

    async def read_all(self: Any, context: Any, plan: SearchPlan, *rest: Any) -> Any:
        return await read(self, context, replace(plan, collections=Everything()), *rest)

    patch.setattr(Retriever, "_read", read_all)


async def set_row_level_security(served: Served, verb: str) -> None:
    tables = ("chunks", "document_versions", "documents", "collections")
    owner = await asyncpg.connect(served.database.owner_url)
    for table in tables:
        await owner.execute(f"ALTER TABLE {table} {verb} ROW LEVEL SECURITY")
    await owner.close()


async def test_watch_tells_nothing_of_another_tenants_changes(
    served: Served, estates: tuple[Estate, Estate]
) -> None:
    ours, theirs = estates
    wanted = [theirs.ids["document"], ours.ids["document"]]
    everything, chosen = (
        served.wire.watch(document.WatchDocumentsRequest(document_ids=ids), ours.bearer)
        for ids in ([], wanted)
    )
    seen: set[str] = set()

    async def read_until(stream: Any, is_last: Callable[[Any], bool]) -> None:
        async for event in stream:
            seen.add(event.document.id or event.deleted_document_id)
            if is_last(event):
                return

    for stream in (everything, chosen):
        await read_until(stream, lambda event: event.HasField("snapshot_end"))
    for estate, name in ((theirs, "Renamed by them"), (ours, "Renamed by us")):
        request = document.UpdateDocumentRequest(
            document=document.Document(id=estate.ids["document"], display_name=name)
        )
        request.update_mask.paths.append("display_name")
        await estate.send(request)
    for stream in (everything, chosen):
        await read_until(stream, lambda event: event.document.display_name == "Renamed by us")

    assert ours.ids["document"] in seen
    assert not seen & set((await witness(served, theirs))["ids"])
    assert theirs.ids["document"] not in seen


@pytest.mark.timeout(1800 if COMPLETE else 300)
async def test_foreign_and_missing_ids_take_the_same_time(
    served: Served, estates: tuple[Estate, Estate]
) -> None:
    ours, theirs = estates
    await settle(estates)
    await served.container.background.close()
    planner = Planner(ours, theirs)
    callers = (await gather_callers(ours))[:1]
    apart: dict[str, tuple[float, float]] = {}
    compared = 0
    for name, entry in served_table().items():
        cells = await planner.plan(RPCS[name], entry, callers, complete=True)
        for path, wanted in entry.fields.items():
            if not isinstance(wanted, Names) or not (
                COMPLETE or name.partition("/")[2][:3] == "Get"
            ):
                continue
            by_variant = {cell.variant: cell for cell in cells if cell.field == path}
            if by_variant["foreign"].group == "refused":
                continue
            calls = [
                await prepare(served, by_variant[variant], entry, ours)
                for variant in ("foreign", "missing")
            ]
            medians = await compare_medians(*calls, rounds=TIMED_ROUNDS)
            if differ(medians):  # once more, longer: something else may have had the processor
                medians = await compare_medians(*calls, rounds=3 * TIMED_ROUNDS)
            compared += 1
            if differ(medians):
                apart[f"{name} {path}"] = medians

    assert compared >= 4
    TALLY.notes.append(
        f"{compared} fields timed, {TIMED_ROUNDS} rounds: medians of foreign and missing within"
        f" {TOLERANCE:.0%}"
    )
    assert apart == {}


# The last: it leaves thousands of things behind, among which a search without filters takes long.
@pytest.mark.timeout(1800 if COMPLETE else 600)
async def test_no_call_tells_or_changes_anything_of_another_tenant(
    served: Served, estates: tuple[Estate, Estate]
) -> None:
    ours, theirs = estates
    await settle(estates)
    cells = await plan(ours, theirs)
    await lay_in(cells, ours)
    request_ids = await use_request_ids(theirs, count_used_elsewhere(cells))
    await served.container.background.close()
    foreign = await witness(served, theirs)
    canaries = Canaries([theirs.canary], foreign["ids"])
    outside = Canaries([OUTSIDE], [])
    all_sent = sorted({value for cell in cells for value in cell.values.values() if value})
    outcomes: dict[str, list[tuple[Cell, Outcome]]] = defaultdict(list)
    leaks: list[str] = []
    turn = asyncio.Semaphore(AT_ONCE)

    async def play(name: str, of_rpc: list[Cell]) -> None:
        async with turn:
            for cell in of_rpc:
                parts = await fill(cell, TABLE[name], ours, request_ids)
                bearer = await authorization_of(cell, TABLE[name], ours)
                outcome = await served.wire.attempt(cell.rpc, parts, bearer)
                is_right = (
                    outcome.code is not StatusCode.OK
                    if cell.code is None
                    else outcome.code is cell.code
                )
                if not is_right or (cell.reason and outcome.reason != cell.reason):
                    leaks.append(f"{cell.name}: {outcome}, must be {cell.code} {cell.reason}")
                if cell.caller.is_restricted and (shown := outside.found_in(outcome, [])):
                    leaks.append(f"{cell.name}: shows {shown} from outside its collection")
                if not cell.caller.is_platform:
                    sent = [value for value in cell.values.values() if value]
                    if name in TELLING_OF_CALLS:
                        sent += all_sent
                    if shown := canaries.found_in(outcome, sent):
                        leaks.append(f"{cell.name}: shows {shown}")
                if cell.group:
                    group = f"{name} {cell.field} {cell.group} {cell.caller.name}"
                    outcomes[group].append((cell, outcome))

    by_rpc: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_rpc[cell.rpc.name].append(cell)
    await asyncio.gather(*(play(name, of_rpc) for name, of_rpc in by_rpc.items()))
    for answers in outcomes.values():
        first_cell, first = neutral(*answers[0])
        for each in answers[1:]:
            cell, outcome = neutral(*each)
            if outcome != first:
                leaks.append(f"{cell.name}: {outcome}, but {first_cell.variant}: {first}")

    TALLY.cells += len(cells)
    TALLY.leaks += len(leaks)
    assert not leaks, f"{len(leaks)} of {len(cells)} cells:\n" + "\n".join(leaks)
    assert await witness(served, theirs) == foreign
    assert len(foreign["chunks"]) >= 2
    assert foreign["points"]
    assert foreign["blobs"]
