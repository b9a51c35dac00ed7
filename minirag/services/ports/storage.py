"""The relational store: repositories, reached only through a unit of work.

A unit of work is one transaction with one *reach*: a tenant, the platform, or a single credential.
Row-level security holds each to its reach. Leaving the `async with` block without an exception commits;
an exception rolls back. Repositories never commit. Every method raises `errors.Unavailable` when
Postgres is away.

Lists are keyset-paginated: `after` is the id of the last item of the previous page, None for the first
page; at most `limit` items come back. Unless said otherwise they are ordered by id, that is by creation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.chats import (
    Assistant,
    Conversation,
    Generation,
    GenerationState,
    Message,
)
from minirag.domain.chunks import Chunk
from minirag.domain.documents import (
    Collection,
    Document,
    DocumentFilter,
    DocumentState,
    DocumentVersion,
    Failure,
    Metadata,
)
from minirag.domain.jobs import Job, JobKind
from minirag.domain.limits import Limits
from minirag.domain.retrieval import EmbeddingSpace
from minirag.domain.tenants import ApiKey, Credential, Tenant, TenantState
from minirag.services.ports.audit import AuditRepository
from minirag.services.ports.exports import ExportRepository
from minirag.services.ports.limits import LimitRepository
from minirag.services.ports.operations import HoldingsRepository, OperationRepository
from minirag.services.ports.people import (
    SessionRepository,
    SignInRepository,
    UserRepository,
)
from minirag.services.ports.secrets import ProviderCredentialRepository, SealedRecordRepository
from minirag.services.ports.usage import ModelPriceRepository, UsageRepository
from minirag.services.ports.webhooks import WebhookDeliveryRepository, WebhookRepository


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The identity of a mutation that may be sent twice.

    `fingerprint` is a SHA-256 over the request without its id: the same id with another fingerprint
    is a mistake of the caller.
    """

    request_id: UUID
    method: str
    fingerprint: bytes


class TenantRepository(Protocol):
    """Platform reach sees every tenant; tenant reach sees its own row only."""

    async def add(self, tenant: Tenant) -> None:
        """Raises `AlreadyExists` when the slug is taken."""

    async def get(self, tenant_id: UUID) -> Tenant | None: ...

    async def list_page(self, *, after: UUID | None, limit: int) -> list[Tenant]: ...

    async def update(
        self,
        tenant_id: UUID,
        *,
        display_name: str | None = None,
        state: TenantState | None = None,
        if_revision: int | None = None,
    ) -> Tenant | None:
        """Return the changed tenant, or None if there is none or it is DELETING or ERASING.

        Raises `Conflict` on another revision.
        """

    async def mark_deleting(
        self, tenant_id: UUID, *, purge_after: timedelta, if_revision: int | None = None
    ) -> Tenant | None:
        """To DELETING, for `purge_after`; None when it was there before. `Conflict` on another revision."""

    async def hasten_deletion(self, tenant_id: UUID) -> bool:
        """End the grace period now; False when none is running."""

    async def restore(self, tenant_id: UUID) -> Tenant | None:
        """From DELETING back to the state before; None when it isn't in its grace period."""

    async def begin_erasure(self, tenant_id: UUID) -> bool:
        """From DELETING (or ERASING already) to ERASING; False in a grace period, or when it was restored
        or is gone."""

    async def set_limits(
        self, tenant_id: UUID, changes: Mapping[str, int | float | None]
    ) -> Tenant | None:
        """Set limits by their names, None to none; others stay. None for no such tenant."""

    async def remove(self, tenant_id: UUID) -> None:
        """Delete the row and everything that hangs on it in Postgres. Works in tenant reach too."""


class ApiKeyRepository(Protocol):
    async def add(self, key: ApiKey) -> None: ...

    async def get(self, key_id: UUID) -> ApiKey | None: ...

    async def list_page(self, *, after: UUID | None, limit: int) -> list[ApiKey]: ...

    async def update(
        self, key_id: UUID, *, display_name: str | None = None, limits: Limits | None = None
    ) -> ApiKey | None:
        """Change what isn't None; None when there is no such key."""

    async def rotate(
        self, key_id: UUID, secret_digest: bytes, *, previous_until: datetime
    ) -> ApiKey | None:
        """Make this the secret, and the one so far the previous; None for a revoked or unknown key."""

    async def revoke(self, key_id: UUID, now: datetime) -> ApiKey | None:
        """Idempotent: an already revoked key keeps its first revoke_time."""

    async def touch(self, key_id: UUID, now: datetime) -> None:
        """Record a use; cheap, called at most once a minute per key."""


class CollectionRepository(Protocol):
    """Collections marked deleted are invisible to every method but `remove`."""

    async def add(self, collection: Collection) -> None:
        """Raises `AlreadyExists` when the display name is taken in the tenant."""

    async def get(self, collection_id: UUID) -> Collection | None: ...

    async def get_many(self, collection_ids: Sequence[UUID]) -> list[Collection]: ...

    async def list_page(self, *, after: UUID | None, limit: int) -> list[Collection]: ...

    async def list_all(self) -> list[Collection]:
        """Every visible collection, `document_count` left 0; retrieval plans with it."""

    async def update(
        self,
        collection_id: UUID,
        *,
        display_name: str | None = None,
        description: str | None = None,
        if_revision: int | None = None,
    ) -> Collection | None:
        """Raises `AlreadyExists` on a taken name, `Conflict` on another revision."""

    async def mark_deleted(self, collection_id: UUID, *, if_revision: int | None = None) -> bool:
        """Hide it and its documents at once; False when there was none. `Conflict` as in `update`."""

    async def remove(self, collection_id: UUID) -> None:
        """Delete the row for good; its documents must be gone already."""


class DocumentRepository(Protocol):
    """Documents with their versions. DELETING documents are invisible to `get`, `find` and lists."""

    async def add(self, document: Document) -> Document:
        """Insert the document and `document.version`; return it with the `update_time` that it got.

        Changes of one document after the other are told by that time, so that Postgres gives it.
        """

    async def add_version(
        self, document_id: UUID, version: DocumentVersion, *, display_name: str, metadata: Metadata
    ) -> Document:
        """Make `version` the newest, beside the published one."""

    async def get(self, document_id: UUID) -> Document | None: ...

    async def find(
        self, collection_id: UUID, external_id: str, *, lock: bool = False
    ) -> Document | None:
        """By the owner's key. With `lock`, concurrent uploads of the same key wait for each other."""

    async def list_page(
        self, wanted: DocumentFilter, *, after: UUID | None, limit: int
    ) -> list[Document]: ...

    async def list_changed(
        self, wanted: DocumentFilter, *, since: datetime, limit: int
    ) -> list[Document]:
        """Visible documents with update_time >= since, oldest change first."""

    async def list_existing(self, document_ids: Sequence[UUID]) -> set[UUID]:
        """Those of the ids that `get` would find."""

    async def update_metadata(
        self,
        document_id: UUID,
        *,
        display_name: str | None = None,
        metadata: Metadata | None = None,
        if_revision: int | None = None,
    ) -> Document | None: ...

    async def mark_deleting(self, document_id: UUID, *, if_revision: int | None = None) -> bool:
        """Hide it at once; False when there was none. Raises `Conflict` on another revision."""

    async def remove(self, document_id: UUID) -> None:
        """Delete the row, its versions and chunks."""

    # -- versions

    async def get_version(self, version_id: UUID) -> DocumentVersion | None:
        """Also of DELETING documents."""

    async def list_versions(self, document_id: UUID) -> list[DocumentVersion]:
        """Also of DELETING documents."""

    async def list_ids(self, collection_id: UUID | None, *, limit: int) -> list[UUID]:
        """Ids of a collection's documents, or the tenant's; DELETING ones and those of a deleted collection
        included."""

    async def set_version_state(
        self,
        version_id: UUID,
        state: DocumentState,
        *,
        failure: Failure | None = None,
        media_type: str | None = None,
        text_bytes: int | None = None,
        page_count: int | None = None,
        chunk_count: int | None = None,
        chunks_indexed: int | None = None,
    ) -> None:
        """Move the version on; touches the document's update_time and revision."""

    async def publish_version(self, version_id: UUID) -> UUID | None:
        """Make it READY and what search reads, in one statement; return the superseded version's id.

        Does nothing (and returns None) when a newer version is published already or the document is gone.
        """

    async def remove_version(self, version_id: UUID) -> None:
        """Delete a version that is neither newest nor published, with its chunks."""


class ChunkRepository(Protocol):
    async def put(self, chunks: Sequence[Chunk]) -> None:
        """Insert; a chunk that is there already (same id) is left as it is."""

    async def list_page(self, version_id: UUID, *, after_ordinal: int, limit: int) -> list[Chunk]:
        """By ordinal; `after_ordinal` -1 starts at the first."""

    async def count(self, version_id: UUID) -> int: ...

    async def read_published(self, chunk_ids: Sequence[UUID]) -> dict[UUID, tuple[Chunk, str]]:
        """Chunk and document display name, by id, for those that search may show.

        Only chunks of the published version of a visible document in a visible collection.
        """


class EmbeddingSpaceRepository(Protocol):
    """Not tenant data: which vector collections exist. Readable in any reach."""

    async def get(self, model: str) -> EmbeddingSpace | None: ...

    async def add(self, space: EmbeddingSpace) -> EmbeddingSpace:
        """Insert unless the model has one; return the stored one."""

    async def list_all(self) -> list[EmbeddingSpace]: ...


class AssistantRepository(Protocol):
    async def add(self, assistant: Assistant) -> None:
        """Raises `AlreadyExists` when the display name is taken in the tenant."""

    async def get(self, assistant_id: UUID) -> Assistant | None: ...

    async def list_page(self, *, after: UUID | None, limit: int) -> list[Assistant]: ...

    async def update(
        self, assistant: Assistant, *, if_revision: int | None = None
    ) -> Assistant | None:
        """Store all mutable fields of `assistant`; the stored revision grows by one."""

    async def remove(self, assistant_id: UUID, *, if_revision: int | None = None) -> bool:
        """False when there was none. Raises `Conflict` on another revision."""


class ConversationRepository(Protocol):
    async def add(self, conversation: Conversation) -> None: ...

    async def get(self, conversation_id: UUID, *, lock: bool = False) -> Conversation | None: ...

    async def list_page(
        self, *, assistant_id: UUID | None, after: UUID | None, limit: int
    ) -> list[Conversation]:
        """Newest first."""

    async def update(
        self, conversation_id: UUID, *, title: str | None = None, if_revision: int | None = None
    ) -> Conversation | None:
        """Also called without changes to bump update_time when a message is added."""

    async def remove(self, conversation_id: UUID, *, if_revision: int | None = None) -> bool:
        """Delete it with its messages and generations; False when there was none.

        Raises `Conflict` on another revision.
        """


class MessageRepository(Protocol):
    async def add(self, message: Message) -> None: ...

    async def get(self, message_id: UUID) -> Message | None: ...

    async def list_page(
        self, conversation_id: UUID, *, after: UUID | None, limit: int
    ) -> list[Message]: ...

    async def list_latest(self, conversation_id: UUID, *, limit: int) -> list[Message]:
        """The last `limit` messages, oldest of them first."""

    async def update(self, message: Message) -> None:
        """Store content, state, citations, usage, finish_reason, error and model."""


class GenerationRepository(Protocol):
    async def add(self, generation: Generation) -> None: ...

    async def get(self, generation_id: UUID) -> Generation | None: ...

    async def extend_lease(self, generation_id: UUID, lease: timedelta) -> bool:
        """Let it end `lease` from now; False when it is no longer RUNNING."""

    async def finish(self, generation_id: UUID, state: GenerationState) -> bool:
        """RUNNING to a terminal state, once; False when it had one already."""


class RequestRepository(Protocol):
    """Outcomes of mutations, kept 24 h, so that a repeat returns the first one.

    Outcomes are encrypted under a key derived from the request id, which is stored as a hash only: at
    rest nobody but the caller who knows the id can read one.
    """

    async def begin(self, key: RequestKey) -> bytes | None:
        """None when this is the first time (the id is now taken); else the stored outcome.

        Waits for a concurrent transaction with the same id. Raises `Conflict` with reason
        `REQUEST_ID_REUSED` when method or fingerprint differ.
        """

    async def is_finished(self, key: RequestKey) -> bool:
        """True when a request with this id has an outcome, whatever it was."""

    async def finish(self, key: RequestKey, outcome: bytes) -> None:
        """Store what a repeat is answered with; in the transaction of the mutation itself."""


class JobRepository(Protocol):
    """A tenant's own view: add work, do it under a lease, finish it."""

    async def add(
        self, kind: JobKind, subject_id: UUID, *, delay: timedelta = timedelta(0)
    ) -> UUID: ...

    async def hasten(self, kind: JobKind, subject_id: UUID) -> None:
        """Make those that wait due now."""

    async def withdraw(self, kind: JobKind, subject_id: UUID) -> int:
        """Remove those that nobody has claimed; return how many."""

    async def claim(self, job_id: UUID, *, owner: str, lease_seconds: float) -> Job | None:
        """Take it if it is due and nobody holds it; None otherwise. Counts the attempt."""

    async def renew(self, job_id: UUID, *, owner: str, lease_seconds: float) -> bool:
        """False when the lease was lost to somebody else."""

    async def complete(self, job_id: UUID, *, owner: str) -> bool: ...

    async def postpone(
        self,
        job_id: UUID,
        *,
        owner: str,
        delay_seconds: float,
        error: str,
        refund_attempt: bool = False,
    ) -> bool:
        """Back to PENDING, due later. `refund_attempt` for waits that are not the job's fault (429)."""

    async def bury(self, job_id: UUID, *, owner: str, error: str) -> bool:
        """DEAD: no further attempt."""


class DueJobRepository(Protocol):
    """The relay's view over all tenants: ids only."""

    async def take_due(self, *, limit: int, resend_after_seconds: float) -> list[tuple[UUID, UUID]]:
        """(tenant_id, job_id) of due jobs, one per tenant in turn, marked as handed on now.

        Due: PENDING with run_after passed, or RUNNING with an expired lease; and not handed on within
        the last `resend_after_seconds`. Concurrent relays never take the same job (SKIP LOCKED).
        """

    async def count_unfinished(self) -> int: ...


class TenantUnitOfWork(Protocol):
    """A transaction that can see exactly one tenant."""

    tenants: TenantRepository
    api_keys: ApiKeyRepository
    collections: CollectionRepository
    documents: DocumentRepository
    chunks: ChunkRepository
    spaces: EmbeddingSpaceRepository
    assistants: AssistantRepository
    conversations: ConversationRepository
    messages: MessageRepository
    generations: GenerationRepository
    usage: UsageRepository
    limits: LimitRepository
    model_prices: ModelPriceRepository
    requests: RequestRepository
    jobs: JobRepository
    audit: AuditRepository
    webhooks: WebhookRepository
    webhook_deliveries: WebhookDeliveryRepository
    provider_credentials: ProviderCredentialRepository
    sealed_records: SealedRecordRepository
    users: UserRepository
    sessions: SessionRepository
    operations: OperationRepository
    holdings: HoldingsRepository
    exports: ExportRepository


class PlatformUnitOfWork(Protocol):
    """A transaction for platform operations: tenants, due jobs, orphaned generations; no documents."""

    tenants: TenantRepository
    requests: RequestRepository
    due_jobs: DueJobRepository
    audit: AuditRepository
    sign_ins: SignInRepository
    operations: OperationRepository

    async def list_orphaned_generations(self, *, limit: int) -> list[tuple[UUID, UUID]]:
        """(tenant_id, generation_id) of RUNNING generations whose lease has run out."""

    async def enter_tenant(self, tenant_id: UUID) -> TenantUnitOfWork:
        """The same transaction, narrowed to one tenant: for its first API key, its erasure job."""

    async def forget_old_requests(self) -> int:
        """Delete request outcomes past their 24 h, of every tenant."""

    async def forget_old_deliveries(self) -> int:
        """Delete some webhook deliveries past their 30 days, of every tenant; 0 when none is left."""

    async def forget_old_sign_ins(self) -> int:
        """Delete expired sessions, of every tenant, and failed sign-ins of more than a day ago."""


class CredentialUnitOfWork(Protocol):
    """A transaction that can see one API key and its tenant's state."""

    async def load(self) -> Credential | None: ...


class UnitOfWorkFactory(Protocol):
    def tenant(self, whose: UUID | TenantContext) -> AbstractAsyncContextManager[TenantUnitOfWork]:
        """For a caller, what it may touch: pass its context. By its id, all of the tenant: for the server's
        own work, and for what concerns the tenant as a whole."""

    def platform(self) -> AbstractAsyncContextManager[PlatformUnitOfWork]: ...

    def credential(self, key_id: UUID) -> AbstractAsyncContextManager[CredentialUnitOfWork]: ...

    async def ping(self) -> None:
        """One round trip; raises `Unavailable`."""

    async def close(self) -> None: ...
