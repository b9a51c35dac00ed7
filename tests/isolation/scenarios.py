"""How each repository method is called with what is another tenant's.

Most are called by their parameters' names: `collection_id` is the other's collection, `limit` is 100. Only
those that take more than that stand in SCENARIOS.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from minirag.domain.changes import Horizon
from minirag.domain.chats import GenerationState
from minirag.domain.documents import DocumentFilter, DocumentState
from minirag.domain.jobs import JobKind
from minirag.repositories.postgres.tenants import PostgresTenantRepository
from minirag.repositories.postgres.unit_of_work import PostgresTenantUnitOfWork
from tests.integration.postgres import records
from tests.isolation.more_scenarios import MORE_SCENARIOS
from tests.isolation.mutated_statements import MutatedTransaction
from tests.isolation.reembedding_scenarios import REEMBEDDING_SCENARIOS
from tests.isolation.source_scenarios import SOURCE_SCENARIOS
from tests.isolation.stage import Scenario, Stage

OWNER = "a worker of theirs"
REQUEST = records.make_request()


class _Unguarded(PostgresTenantRepository):
    """One that doesn't look whether a tenant is its own."""

    def _sees(self, tenant_id: UUID) -> bool:
        return True


def _unguarded(repository: PostgresTenantRepository) -> PostgresTenantRepository:
    """The repository, its guard gone as well if its statements are mutated."""
    spy = repository._transaction
    assert isinstance(spy, MutatedTransaction)
    return _Unguarded(spy, repository._tenant_id) if spy.is_active else repository


async def _get_tenants(repository: Any, stage: Stage) -> object:
    theirs = await _unguarded(repository).get(stage.theirs)
    return theirs, await repository.get(stage.ours)


async def _update_tenants(repository: Any, stage: Stage) -> object:
    theirs = await _unguarded(repository).update(stage.theirs, display_name="Taken")
    return theirs is None, (await repository.update(stage.ours, display_name="Taken")) is None


async def _remove_tenants(repository: Any, stage: Stage) -> None:
    await _unguarded(repository).remove(stage.theirs)


async def _claim(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    await unit.jobs.claim(stage.their("jobs"), owner=OWNER, lease_seconds=60)


async def _make_removable(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    """A second version in place of the first, which may be removed then."""
    document_id = stage.their("documents")
    version = records.make_version(stage.theirs, document_id, number=2)
    await unit.documents.add_version(document_id, version, display_name="Second", metadata={})


async def _empty_collection(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    await unit.documents.remove(stage.their("documents"))


async def _publish(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    await unit.documents.publish_version(stage.their("document_versions"))


async def _cancel(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    await unit.documents.cancel(stage.their("documents"))


async def _begin_request(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    await unit.requests.begin(REQUEST)


async def _finish_request(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    await unit.requests.begin(REQUEST)
    await unit.requests.finish(REQUEST, b"theirs")


async def _mark_deleting(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    await unit.tenants.mark_deleting(stage.theirs, purge_after=timedelta(days=1))


async def _mark_deleting_now(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    await unit.tenants.mark_deleting(stage.theirs, purge_after=timedelta(0))


async def _list_changes(repository: Any) -> object:
    """Without the moment at which they were read, which is another one each time."""
    page = await repository.list_page(
        DocumentFilter(), told=Horizon(0, 0), upto=None, after=None, limit=100
    )
    return page.changes


SCENARIOS: Mapping[str, Scenario] = {
    **MORE_SCENARIOS,
    **SOURCE_SCENARIOS,
    **REEMBEDDING_SCENARIOS,
    "PostgresApiKeyRepository.add": Scenario(
        lambda r, s: r.add(records.make_api_key(s.ours)),
    ),
    "PostgresAssistantRepository.add": Scenario(
        lambda r, s: r.add(records.make_assistant(s.ours)),
    ),
    "PostgresAssistantRepository.update": Scenario(
        lambda r, s: r.update(records.make_assistant(s.ours, id=s.their("assistants"))),
    ),
    "PostgresChunkRepository.put": Scenario(
        lambda r, s: r.put(
            [records.make_chunk(s.their_document(), 7, version_id=s.their("document_versions"))]
        ),
    ),
    "PostgresChunkRepository.read_published": Scenario(
        lambda r, s: r.read_published([s.their("chunks")]), _publish
    ),
    "PostgresCollectionRepository.add": Scenario(
        lambda r, s: r.add(records.make_collection(s.ours)),
    ),
    "PostgresCollectionRepository.remove": Scenario(
        lambda r, s: r.remove(s.their("collections")), _empty_collection
    ),
    "PostgresCollectionRepository.update": Scenario(
        lambda r, s: r.update(s.their("collections"), display_name="Taken"),
    ),
    "PostgresConversationRepository.add": Scenario(
        lambda r, s: r.add(records.make_conversation(s.ours)),
    ),
    "PostgresConversationRepository.list_page": Scenario(
        lambda r, s: r.list_page(assistant_id=None, after=None, limit=100),
    ),
    "PostgresConversationRepository.update": Scenario(
        lambda r, s: r.update(s.their("conversations"), title="Taken"),
    ),
    "PostgresDocumentRepository.add": Scenario(lambda r, s: r.add(s.their_document())),
    "PostgresDocumentRepository.add_version": Scenario(
        lambda r, s: r.add_version(
            s.their("documents"),
            records.make_version(s.ours, s.their("documents"), number=9),
            display_name="Taken",
            metadata={},
        ),
    ),
    "PostgresDocumentRepository.cancel": Scenario(lambda r, s: r.cancel(s.their("documents"))),
    "PostgresDocumentRepository.clear_version": Scenario(
        lambda r, s: r.clear_version(s.their("document_versions")), _cancel
    ),
    "PostgresDocumentRepository.restart": Scenario(
        lambda r, s: r.restart([s.their("documents")]), _cancel
    ),
    "PostgresChunkRepository.remove_unfinished": Scenario(
        lambda r, s: r.remove_unfinished(s.their("document_versions"), limit=9)
    ),
    "PostgresChunkRepository.remove_some": Scenario(
        lambda r, s: r.remove_some(s.their("document_versions"), limit=100), _cancel
    ),
    "PostgresDocumentRepository.find": Scenario(
        lambda r, s: r.find(s.their("collections"), "theirs", lock=True),
    ),
    "PostgresDocumentRepository.list_page": Scenario(
        lambda r, s: r.list_page(DocumentFilter(), after=None, limit=100),
    ),
    "PostgresDocumentRepository.get_searchability": Scenario(
        lambda r, s: r.get_searchability(s.their("documents")),
    ),
    "PostgresDocumentChangeRepository.list_page": Scenario(
        lambda r, s: _list_changes(r),
    ),
    "PostgresDocumentRepository.list_ids": Scenario(lambda r, s: r.list_ids(None, limit=100)),
    "PostgresDocumentRepository.publish_version": Scenario(
        lambda r, s: r.publish_version(s.their("document_versions")),
    ),
    "PostgresDocumentRepository.remove_version": Scenario(
        lambda r, s: r.remove_version(s.their("document_versions")), _make_removable
    ),
    "PostgresDocumentRepository.set_version_state": Scenario(
        lambda r, s: r.set_version_state(s.their("document_versions"), DocumentState.PARSING),
    ),
    "PostgresDocumentRepository.update_metadata": Scenario(
        lambda r, s: r.update_metadata(s.their("documents"), display_name="Taken"),
    ),
    "PostgresGenerationRepository.add": Scenario(
        lambda r, s: r.add(records.make_generation(s.their_conversation())),
    ),
    "PostgresGenerationRepository.extend_lease": Scenario(
        lambda r, s: r.extend_lease(s.their("generations"), timedelta(hours=1)),
    ),
    "PostgresGenerationRepository.finish": Scenario(
        lambda r, s: r.finish(s.their("generations"), GenerationState.CANCELLED),
    ),
    "PostgresJobRepository.add": Scenario(
        lambda r, s: r.add(JobKind.ERASE_DOCUMENT, s.their("documents")),
    ),
    "PostgresJobRepository.hasten": Scenario(
        lambda r, s: r.hasten(JobKind.ERASE_DOCUMENT, s.their("documents")),
    ),
    "PostgresJobRepository.forget_idle": Scenario(
        lambda r, s: r.forget_idle([s.their("documents")]),
    ),
    "PostgresJobRepository.is_busy": Scenario(
        lambda r, s: r.is_busy(s.their("jobs", "subject_id"), except_job=s.ours), _claim
    ),
    "PostgresJobRepository.withdraw": Scenario(
        lambda r, s: r.withdraw(JobKind.ERASE_DOCUMENT, s.their("documents")),
    ),
    "PostgresJobRepository.claim": Scenario(
        lambda r, s: r.claim(s.their("jobs"), owner="ours", lease_seconds=60),
    ),
    "PostgresJobRepository.renew": Scenario(
        lambda r, s: r.renew(s.their("jobs"), owner=OWNER, lease_seconds=600), _claim
    ),
    "PostgresJobRepository.complete": Scenario(
        lambda r, s: r.complete(s.their("jobs"), owner=OWNER), _claim
    ),
    "PostgresJobRepository.postpone": Scenario(
        lambda r, s: r.postpone(s.their("jobs"), owner=OWNER, delay_seconds=60, error="taken"),
        _claim,
    ),
    "PostgresJobRepository.bury": Scenario(
        lambda r, s: r.bury(s.their("jobs"), owner=OWNER, error="taken"), _claim
    ),
    "PostgresMessageRepository.add": Scenario(
        lambda r, s: r.add(records.make_message(s.their_conversation())),
    ),
    "PostgresMessageRepository.update": Scenario(
        lambda r, s: r.update(
            records.make_message(s.their_conversation(), id=s.their("messages"), content="Taken")
        ),
    ),
    "PostgresRequestRepository.begin": Scenario(
        lambda r, s: r.begin(records.make_request()),
    ),
    "PostgresRequestRepository.finish": Scenario(
        lambda r, s: r.finish(REQUEST, b"forged"), _begin_request
    ),
    "PostgresRequestRepository.is_finished": Scenario(
        lambda r, s: r.is_finished(REQUEST), _finish_request
    ),
    "PostgresTenantRepository.get": Scenario(_get_tenants, may_do_ours=True),
    "PostgresTenantRepository.update": Scenario(_update_tenants, may_do_ours=True),
    "PostgresTenantRepository.remove": Scenario(_remove_tenants, may_do_ours=True),
    "PostgresTenantRepository.mark_deleting": Scenario(
        lambda r, s: _unguarded(r).mark_deleting(s.theirs, purge_after=timedelta(0)),
        may_do_ours=True,
    ),
    "PostgresTenantRepository.hasten_deletion": Scenario(
        lambda r, s: _unguarded(r).hasten_deletion(s.theirs), _mark_deleting, may_do_ours=True
    ),
    "PostgresTenantRepository.restore": Scenario(
        lambda r, s: _unguarded(r).restore(s.theirs), _mark_deleting, may_do_ours=True
    ),
    "PostgresTenantRepository.begin_erasure": Scenario(
        lambda r, s: _unguarded(r).begin_erasure(s.theirs), _mark_deleting_now, may_do_ours=True
    ),
    "PostgresTenantRepository.set_limits": Scenario(
        lambda r, s: _unguarded(r).set_limits(s.theirs, {"documents": 0}), may_do_ours=True
    ),
}

NO_TENANTS: Mapping[str, str] = {
    "PostgresReconciliationRepository": "comparisons of all tenants' stores, in platform reach",
    "PostgresDriftRepository.read_clock": "what time it is",
    "PostgresEmbeddingSpaceRepository": "which vector collections there are; nobody's data",
    "PostgresDueJobRepository": "the relay's, for all tenants' jobs alike, in platform reach",
    "PostgresTenantRepository.add": "makes a tenant, in platform reach",
    "generations.list_orphaned": "ids of all tenants' dead answers, in platform reach",
    "requests.forget_old_requests": "deletes all tenants' old outcomes, in platform reach",
    "PostgresSignInRepository": "before anybody's tenant is known, in platform reach",
    "sessions.forget_expired_sessions": "deletes all tenants' expired sessions, in platform reach",
    "sign_in_failures.forget_old_attempts": "no tenant's rows, in platform reach",
    "uploads.list_expired_uploads": "ids of all tenants' expired uploads, in platform reach",
    "document_changes.forget_old_changes": "deletes all tenants' old deletions, in platform reach",
    "webhooks.forget_old_deliveries": "deletes all tenants' old deliveries, in platform reach",
    "api_keys.load_credential": "in credential reach; has a test of its own",
}
"""Methods (or whole classes) without a tenant's condition to lose, and why."""

_TABLES = {"version": "document_versions", "key": "api_keys", "delivery": "webhook_deliveries"}
_VALUES: Mapping[str, object] = {
    "after": None,
    "after_ordinal": -1,
    "limit": 100,
    "now": datetime.now(UTC),
}


def scenario_of(name: str, method: Callable[..., Any]) -> Scenario | None:
    """The method's own scenario, or one made of its parameters' names; None if neither will do."""
    if name in SCENARIOS:
        return SCENARIOS[name]
    parameters = [
        each
        for each in list(inspect.signature(method).parameters.values())[1:]
        if each.default is each.empty
    ]
    if not all(_is_known(each.name) for each in parameters):
        return None
    action = method.__name__

    def call(repository: Any, stage: Stage) -> Awaitable[object]:
        given = {each.name: _value_of(each.name, stage) for each in parameters}
        by_place = [
            given.pop(each.name) for each in parameters if each.kind is not each.KEYWORD_ONLY
        ]
        result: Awaitable[object] = getattr(repository, action)(*by_place, **given)
        return result

    return Scenario(call)


def _is_known(name: str) -> bool:
    return name in _VALUES or name.endswith(("_id", "_ids"))


def _value_of(name: str, stage: Stage) -> object:
    if name in _VALUES:
        return _VALUES[name]
    noun = name.removesuffix("_ids").removesuffix("_id")
    if noun == "tenant":
        return stage.theirs
    found = stage.their(_TABLES.get(noun, f"{noun}s"))
    return [found] if name.endswith("_ids") else found
