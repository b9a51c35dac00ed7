"""In-memory services behind a real gRPC server: what the API layer's tests are built on."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from minirag.adapters.local_rates import LocalRates
from minirag.config import Settings, load_settings
from minirag.domain.access import PlatformContext, Principal, TenantContext
from minirag.domain.audit import Actor
from minirag.domain.changes import RevisionMark
from minirag.domain.chats import (
    ChatEvent,
    Completed,
    Delta,
    FinishReason,
    Message,
    Retrieved,
    Role,
    Started,
)
from minirag.domain.chunks import Chunk, ChunkSizes
from minirag.domain.documents import Collection, Document, DocumentState, DocumentVersion
from minirag.domain.ids import IdKind, chunk_id, encode_id, new_id
from minirag.domain.limits import Limits
from minirag.domain.people import UserRole
from minirag.domain.retrieval import LegScore, RetrievalMode, RetrievedChunk
from minirag.domain.tenants import ALL_SCOPES, ApiKey, Credential, Scope, Tenant, TenantState
from minirag.errors import AlreadyExists, Conflict, NotFound, Unauthenticated
from minirag.services.accepting import Accepted, NewDocument
from minirag.services.asking import Question
from minirag.services.documents import TextSlice
from minirag.services.paging import Page
from minirag.services.ports.requests import RequestKey
from minirag.services.rates import CallRates
from minirag.services.retrieval import SearchOutcome
from minirag.services.watching import DocumentChanged, SnapshotEnd
from tests.support.fake_people import FakeSessions, FakeUsers

PLATFORM_KEY = "platform-key-of-at-least-32-characters"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class FakeAuthenticator:
    """Knows the platform key and one key per set of scopes."""

    def __init__(self) -> None:
        self.tenant_id = new_id()
        self.contexts: dict[str, Principal] = {PLATFORM_KEY: PlatformContext()}
        self.fails_with: BaseException | None = None

    def key_with(self, *scopes: Scope) -> str:
        """Return a key of the tenant with these scopes; all of them when none is named."""
        wanted = frozenset(scopes) or ALL_SCOPES
        token = "mrk_" + "-".join(sorted(wanted))
        self.contexts[token] = TenantContext(self.tenant_id, new_id(), wanted)
        return token

    def user_with(self, role: UserRole) -> str:
        """Return an access token of a user of the tenant with this role."""
        token = f"mrt_{role}"
        self.contexts[token] = TenantContext(
            self.tenant_id,
            scopes=role.scopes,
            user_id=new_id(),
            role=role,
            session_id=new_id(),
            token_expire_time=NOW,
        )
        return token

    async def authenticate(self, authorization: str | None) -> Principal:
        if self.fails_with is not None:
            raise self.fails_with
        if not authorization:
            raise Unauthenticated("no credential", reason="CREDENTIAL_MISSING")
        _, _, token = authorization.partition(" ")
        if token not in self.contexts:
            raise Unauthenticated("unknown key")
        return self.contexts[token]

    async def check_standing(self, principal: Principal, authorization: str | None) -> None:
        await self.authenticate(authorization)


class FakeRefusals:
    """Keeps what would be written: owner, actor, type and id of the resource, outcome."""

    def __init__(self) -> None:
        self.noted: list[tuple[UUID | None, Actor, str, str, str]] = []

    def note(
        self,
        owner: UUID | None,
        actor: Actor,
        resource_type: str,
        resource_id: str,
        outcome: str,
    ) -> None:
        self.noted.append((owner, actor, resource_type, resource_id, outcome))


class FakeTenants:
    def __init__(self) -> None:
        self.tenants: dict[UUID, Tenant] = {}
        self.requests: list[RequestKey | None] = []

    async def create(
        self, *, slug: str, display_name: str, request: RequestKey | None
    ) -> tuple[Tenant, ApiKey, str]:
        self.requests.append(request)
        if any(tenant.slug == slug for tenant in self.tenants.values()):
            raise AlreadyExists("tenant", slug, f"the slug {slug!r} is taken: choose another")
        tenant = Tenant(new_id(), slug, display_name or slug, TenantState.ACTIVE, NOW, NOW, 1)
        self.tenants[tenant.id] = tenant
        return tenant, make_api_key(tenant.id), "mrk_secret"

    async def get(self, tenant_id: UUID) -> Tenant:
        if tenant_id not in self.tenants:
            raise NotFound("tenant", encode_id(IdKind.TENANT, tenant_id))
        return self.tenants[tenant_id]

    async def list_page(self, *, after: UUID | None, limit: int) -> Page[Tenant, UUID]:
        found = [one for one in self.tenants.values() if after is None or one.id > after]
        return Page.cut(found[: limit + 1], limit, lambda tenant: tenant.id)

    async def update(
        self,
        tenant_id: UUID,
        *,
        display_name: str | None,
        state: TenantState | None,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> Tenant:
        current = await self.get(tenant_id)
        if if_revision not in (None, current.revision):
            raise Conflict("the tenant was changed since its etag was read: read it again")
        changed = replace(
            current,
            display_name=current.display_name if display_name is None else display_name,
            state=state or current.state,
            revision=current.revision + 1,
        )
        self.tenants[tenant_id] = changed
        return changed


class FakeApiKeys:
    def __init__(self) -> None:
        self.created: list[tuple[Principal, UUID, datetime | None]] = []

    async def create(
        self,
        caller: Principal,
        tenant_id: UUID,
        *,
        display_name: str,
        scopes: frozenset[Scope],
        expire_time: datetime | None,
        collection_ids: tuple[UUID, ...],
        limits: Limits,
        request: RequestKey | None,
    ) -> tuple[ApiKey, str]:
        self.created.append((caller, tenant_id, expire_time))
        key = replace(
            make_api_key(tenant_id),
            scopes=scopes,
            expire_time=expire_time,
            collection_ids=frozenset(collection_ids) or None,
            limits=limits,
        )
        return key, "mrk_secret"

    async def list_page(
        self, tenant_id: UUID, *, after: UUID | None, limit: int
    ) -> Page[ApiKey, UUID]:
        return Page((make_api_key(tenant_id),), None)

    async def describe(self, context: TenantContext) -> Credential:
        key = replace(make_api_key(context.tenant_id), scopes=context.scopes)
        return Credential(key, "acme", TenantState.ACTIVE, "Acme")


class FakeCollections:
    """`fails_with` is raised by `get`; `on_get` runs before it answers."""

    def __init__(self) -> None:
        self.fails_with: BaseException | None = None
        self.on_get: Callable[[], Awaitable[None]] | None = None
        self.collections: list[Collection] = []

    async def create(
        self,
        context: TenantContext,
        *,
        display_name: str,
        description: str,
        chunk_sizes: ChunkSizes | None = None,
        request: RequestKey | None,
    ) -> Collection:
        made = make_collection(context.tenant_id, display_name, description)
        made = replace(made, chunk_sizes=chunk_sizes)
        self.collections.append(made)
        return made

    async def get(self, context: TenantContext, collection_id: UUID) -> Collection:
        if self.on_get is not None:
            await self.on_get()
        if self.fails_with is not None:
            raise self.fails_with
        return replace(make_collection(context.tenant_id, "Books", ""), id=collection_id)

    async def list_page(
        self, context: TenantContext, *, after: UUID | None, limit: int
    ) -> Page[Collection, UUID]:
        found = [one for one in self.collections if after is None or one.id > after]
        return Page.cut(found[: limit + 1], limit, lambda one: one.id)


class FakeDocuments:
    """Keeps an upload only when its content came to its end, as the real service does."""

    def __init__(self) -> None:
        self.uploads: list[tuple[NewDocument, bytes, RequestKey | None]] = []
        self.started = 0
        self.received = 0
        self.broken: list[BaseException] = []
        self.refusals: dict[str, Exception] = {}
        """What uploads of these texts are answered with."""
        self.text = "Grüße aus dem Süden"
        self.text_requests: list[tuple[int, int | None]] = []

    async def upload(
        self,
        context: TenantContext,
        new: NewDocument,
        content: AsyncIterator[bytes],
        *,
        request: RequestKey | None,
    ) -> Accepted:
        self.started += 1
        parts: list[bytes] = []
        try:
            async for part in content:
                parts.append(part)
                self.received += len(part)
        except BaseException as error:
            self.broken.append(error)
            raise
        data = b"".join(parts)
        if refused := self.refusals.get(data.decode(errors="replace")):
            raise refused
        self.uploads.append((new, data, request))
        return Accepted(make_document(context.tenant_id, new, data))

    async def read_text(
        self,
        context: TenantContext,
        document_id: UUID,
        *,
        version_id: UUID | None,
        start: int,
        end: int | None,
    ) -> TextSlice:
        self.text_requests.append((start, end))
        raw = self.text.encode()
        part = raw[start:end]
        return TextSlice(part.decode(), start, start + len(part), len(raw), new_id())

    async def list_chunks(
        self, context: TenantContext, document_id: UUID, *, after_ordinal: int, limit: int
    ) -> Page[Chunk, int]:
        found = [make_chunk(ordinal) for ordinal in range(after_ordinal + 1, 5)]
        return Page.cut(found, limit, lambda chunk: chunk.ordinal)


class FakeUploads:
    """Tells what is written to any upload, and finishes it with that."""

    def __init__(self) -> None:
        self.written: list[tuple[UUID, int, bytes]] = []

    async def write(
        self, context: TenantContext, upload_id: UUID, offset: int, content: AsyncIterator[bytes]
    ) -> None:
        self.written.append((upload_id, offset, b"".join([part async for part in content])))

    async def finish(self, context: TenantContext, upload_id: UUID) -> Accepted:
        new = NewDocument(new_id(), "Tour", "", {}, "")
        return Accepted(make_document(context.tenant_id, new, self.written[-1][2]))


class FakeWatcher:
    """Sends one document and the snapshot's end, then waits for ever."""

    def __init__(self) -> None:
        self.watches = 0
        self.is_open = False

    async def watch(
        self, context: TenantContext, wanted: Any, *, until_final: bool, position: Any = None
    ) -> AsyncGenerator[Any, None]:
        self.watches += 1
        self.is_open = True
        try:
            new = NewDocument(new_id(), "Tour", "", {}, "")
            yield DocumentChanged(make_document(context.tenant_id, new, b"x"))
            yield SnapshotEnd(1)
            if not until_final:
                await asyncio.Event().wait()
        finally:
            self.is_open = False


class FakeRevisions:
    """Everything is searchable at once."""

    def __init__(self) -> None:
        self.waits: list[tuple[RevisionMark, float | None]] = []

    async def wait(
        self, context: TenantContext, mark: RevisionMark, *, timeout: float | None
    ) -> None:
        self.waits.append((mark, timeout))


class FakeRetriever:
    def __init__(self) -> None:
        self.searches: list[dict[str, Any]] = []

    async def search(self, context: TenantContext, query: str, **settings: Any) -> SearchOutcome:
        self.searches.append({"query": query, **settings})
        found = RetrievedChunk(make_chunk(0), "Tour", 0.9, LegScore(1, 7.5))
        return SearchOutcome((found,), RetrievalMode.LEXICAL)


class FakeAnswers:
    """Answers with `words`; waits for `gate` after the first, and fails with `fails_with` at the end."""

    def __init__(self) -> None:
        self.words = ["Hello", " world"]
        self.gate: asyncio.Event | None = None
        self.fails_with: BaseException | None = None
        self.questions: list[Question] = []
        self.timeouts: list[float | None] = []
        self.open_answers = 0
        self.endings: list[str] = []

    async def answer(
        self,
        context: TenantContext,
        question: Question,
        *,
        request: RequestKey | None,
        timeout: float | None,
    ) -> AsyncGenerator[ChatEvent, None]:
        self.questions.append(question)
        self.timeouts.append(timeout)
        self.open_answers += 1
        ending = "closed"
        try:
            yield Started(new_id(), new_id(), new_id(), new_id(), "extractive")
            yield Retrieved(question.content, (), RetrievalMode.LEXICAL)
            for index, word in enumerate(self.words):
                if index and self.gate is not None:
                    await self.gate.wait()
                yield Delta(word)
            if self.fails_with is not None:
                raise self.fails_with
            yield Completed(make_answer(context.tenant_id, "".join(self.words)))
            ending = "completed"
        finally:
            self.open_answers -= 1
            self.endings.append(ending)


class FakeDependency:
    """Something that can be pinged, or be away."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def __call__(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass
class FakeContainer:
    """What `RagServer` takes."""

    settings: Settings
    authenticator: FakeAuthenticator = field(default_factory=FakeAuthenticator)
    rates: CallRates = field(default_factory=lambda: CallRates(LocalRates()))
    refusals: FakeRefusals = field(default_factory=FakeRefusals)
    audit: Any = None
    tenants: FakeTenants = field(default_factory=FakeTenants)
    offboarding: Any = None
    operations: Any = None
    canceller: Any = None
    reconciling: Any = None
    purges: Any = None
    exports: Any = None
    api_keys: FakeApiKeys = field(default_factory=FakeApiKeys)
    users: FakeUsers = field(default_factory=FakeUsers)
    sessions: FakeSessions = field(default_factory=FakeSessions)
    provider_credentials: Any = None
    usage: Any = None
    limits: Any = None
    collections: FakeCollections = field(default_factory=FakeCollections)
    reembedding: Any = None
    documents: FakeDocuments = field(default_factory=FakeDocuments)
    runs: Any = None
    uploads: FakeUploads = field(default_factory=FakeUploads)
    watcher: FakeWatcher = field(default_factory=FakeWatcher)
    revisions: FakeRevisions = field(default_factory=FakeRevisions)
    retriever: FakeRetriever = field(default_factory=FakeRetriever)
    assistants: Any = None
    conversations: Any = None
    webhooks: Any = None
    sources: Any = None
    answers: FakeAnswers = field(default_factory=FakeAnswers)
    pings: dict[str, FakeDependency] = field(
        default_factory=lambda: {
            name: FakeDependency() for name in ("postgres", "redis", "vectors", "blobs")
        }
    )
    is_closed: bool = False

    @property
    def intake(self) -> FakeDocuments:
        return self.documents

    def start_background(self) -> None:
        """There is nothing to start."""

    async def close(self) -> None:
        self.is_closed = True


def make_container(**settings: object) -> FakeContainer:
    """Return a container whose server listens on a free port and drains at once."""
    defaults: dict[str, object] = {"port": 0, "drain_delay": 0, "shutdown_grace": 5}
    return FakeContainer(load_settings(_env_file=None, **{**defaults, **settings}))


def make_api_key(tenant_id: UUID) -> ApiKey:
    return ApiKey(new_id(), tenant_id, "First key", ALL_SCOPES, b"", NOW)


def make_collection(tenant_id: UUID, name: str, description: str) -> Collection:
    return Collection(new_id(), tenant_id, name, description, "", NOW, NOW, 1)


def make_chunk(ordinal: int) -> Chunk:
    version_id = UUID(int=7)
    return Chunk(
        id=chunk_id(version_id, ordinal),
        version_id=version_id,
        document_id=UUID(int=8),
        collection_id=UUID(int=9),
        ordinal=ordinal,
        text=f"Passage {ordinal}",
        start=ordinal * 10,
        end=ordinal * 10 + 9,
        token_count=2,
        heading_path=("Top", "Inner"),
    )


def make_document(tenant_id: UUID, new: NewDocument, data: bytes) -> Document:
    document_id = new_id()
    version = DocumentVersion(
        id=new_id(),
        tenant_id=tenant_id,
        document_id=document_id,
        number=1,
        state=DocumentState.PENDING,
        blob_key="",
        byte_size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        declared_media_type=new.declared_media_type,
        file_name=new.file_name,
        create_time=NOW,
    )
    return Document(
        id=document_id,
        tenant_id=tenant_id,
        collection_id=new.collection_id,
        external_id=new.external_id,
        display_name=new.display_name or "Untitled",
        metadata=new.metadata,
        version=version,
        published_version_id=None,
        create_time=NOW,
        update_time=NOW,
        revision=1,
    )


def make_answer(tenant_id: UUID, content: str) -> Message:
    return Message(
        id=new_id(),
        tenant_id=tenant_id,
        conversation_id=new_id(),
        role=Role.ASSISTANT,
        content=content,
        create_time=NOW,
        generation_id=new_id(),
        model="extractive",
        finish_reason=FinishReason.STOP,
    )
