"""How the repository methods of people, webhooks, operations, money and secrets are called."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from minirag.domain.ids import new_id
from minirag.domain.operations import OperationKind, OperationState
from minirag.domain.purging import PurgeFilter
from minirag.domain.usage import WHOLE_TENANT, UsageDimension
from minirag.domain.webhooks import DeliveryState, WebhookEventType
from minirag.repositories.postgres.unit_of_work import PostgresTenantUnitOfWork
from minirag.services.ports.audit import AuditFilter
from minirag.services.ports.secrets import Sealed, SealedRecord
from tests.integration.postgres import more_records, records
from tests.isolation.stage import Scenario, Stage

LONG_AGO, FAR_AHEAD = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
NOW = datetime.now(UTC)
NOBODY = new_id()
FORGED = Sealed(b"forged", "first")


async def _publish(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    await unit.documents.publish_version(stage.their("document_versions"))


async def _deliver(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    await unit.webhook_deliveries.record_attempt(
        stage.their("webhook_deliveries"), DeliveryState.DELIVERED, status=200, error=""
    )


def _their_credential(stage: Stage) -> Any:
    named = stage.their("provider_credentials")
    return more_records.make_provider_credential(stage.ours, id=named, key_hint="took")


async def _commit_part(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    await unit.uploads.commit_part(
        stage.their("uploads"), "a part", start=0, end=5, expire_time=FAR_AHEAD
    )


async def _take_external_ids_away(unit: PostgresTenantUnitOfWork, stage: Stage) -> None:
    await stage.transaction.execute(text("UPDATE documents SET external_id = ''"))


MORE_SCENARIOS: Mapping[str, Scenario] = {
    "PostgresApiKeyRepository.rotate": Scenario(
        lambda r, s: r.rotate(s.their("api_keys"), b"forged digest", previous_until=NOW),
    ),
    "PostgresAuditRepository.add": Scenario(
        lambda r, s: r.add(records.make_audit_event(s.ours)),
    ),
    "PostgresAuditRepository.list_page": Scenario(
        lambda r, s: r.list_page(AuditFilter(), after=None, limit=100),
    ),
    "PostgresDocumentRepository.find_content": Scenario(
        lambda r, s: r.find_content(s.their("collections"), s.their("document_versions", "sha256")),
        _take_external_ids_away,
    ),
    "PostgresExportRepository.read_page": Scenario(
        lambda r, s: _read_every_kind(r),
    ),
    "PostgresLimitRepository.reserve": Scenario(
        lambda r, s: r.reserve(
            s.their("budgets", "subject_id"), [more_records.make_claim()], lifetime=9
        ),
    ),
    "PostgresLimitRepository.settle": Scenario(
        lambda r, s: r.settle(s.their("budget_reservations")),
    ),
    "PostgresModelPriceRepository.put": Scenario(
        lambda r, s: r.put(more_records.PRICE, NOW),
    ),
    "PostgresModelPriceRepository.remove": Scenario(
        lambda r, s: r.remove(more_records.PRICE.model), may_do_ours=True
    ),
    "PostgresOperationRepository.add": Scenario(
        lambda r, s: r.add(more_records.make_operation(s.ours)),
    ),
    "PostgresOperationRepository.find_open": Scenario(
        lambda r, s: r.find_open(OperationKind.DELETE_TENANT, s.theirs),
    ),
    "PostgresOperationRepository.start": Scenario(
        lambda r, s: r.start(s.their("operations"), []),
    ),
    "PostgresOperationRepository.advance": Scenario(
        lambda r, s: r.advance(s.their("operations"), {}, done=1, erased=[], remaining=[]),
    ),
    "PostgresOperationRepository.close_others": Scenario(
        lambda r, s: r.close_others(NOBODY), may_do_ours=True
    ),
    "PostgresOperationRepository.move": Scenario(
        lambda r, s: r.move(s.their("operations"), {}, {"ids": []}),
    ),
    "PostgresOperationRepository.take": Scenario(
        lambda r, s: r.take(s.their("operations"), {"ids": []}, total=1),
    ),
    "PostgresDriftRepository.list_published": Scenario(
        lambda r, s: r.list_published(
            s.their("collections", "embedding_model"), began=NOW, after=None, limit=100
        ),
        _publish,
    ),
    "PostgresDriftRepository.read_owners": Scenario(
        lambda r, s: r.read_owners([s.their("document_versions"), s.their("uploads")]),
    ),
    "PostgresDriftRepository.read_places": Scenario(
        lambda r, s: r.read_places([s.their("chunks")], began=NOW),
    ),
    "PostgresPurgeRepository.count": Scenario(
        lambda r, s: r.count(PurgeFilter(s.their("collections"))),
    ),
    "PostgresPurgeRepository.list_ids": Scenario(
        lambda r, s: r.list_ids(PurgeFilter(s.their("collections")), created_before=None, limit=9),
    ),
    "PostgresOperationRepository.note": Scenario(
        lambda r, s: r.note(s.their("operations"), "forged"),
    ),
    "PostgresOperationRepository.finish": Scenario(
        lambda r, s: r.finish(s.their("operations"), OperationState.SUCCEEDED),
    ),
    "PostgresProviderCredentialRepository.add": Scenario(
        lambda r, s: r.add(
            more_records.make_provider_credential(s.ours, provider="another"), FORGED
        ),
    ),
    "PostgresProviderCredentialRepository.get": Scenario(
        lambda r, s: r.get("openai"), may_do_ours=True
    ),
    "PostgresProviderCredentialRepository.remove": Scenario(
        lambda r, s: r.remove("openai"), may_do_ours=True
    ),
    "PostgresProviderCredentialRepository.update": Scenario(
        lambda r, s: r.update(_their_credential(s), FORGED),
    ),
    "PostgresSealedRecordRepository.list_older": Scenario(
        lambda r, s: r.list_older(SealedRecord.WEBHOOK, "newest", after=None, limit=100),
    ),
    "PostgresSealedRecordRepository.replace": Scenario(
        lambda r, s: r.replace(
            SealedRecord.WEBHOOK,
            s.their("webhooks"),
            old=Sealed(s.their("webhooks", "sealed"), s.their("webhooks", "sealed_by")),
            new=FORGED,
        ),
    ),
    "PostgresSessionRepository.add": Scenario(
        lambda r, s: r.add(more_records.make_session(s.ours, s.their("users"))),
    ),
    "PostgresSessionRepository.rotate": Scenario(
        lambda r, s: r.rotate(
            s.their("sessions"),
            from_digest=more_records.REFRESH_DIGEST,
            to_digest=b"forged",
            now=NOW,
        ),
    ),
    "PostgresUploadRepository.add": Scenario(
        lambda r, s: r.add(more_records.make_upload(s.ours)),
    ),
    "PostgresUploadRepository.get": Scenario(
        lambda r, s: r.get(s.their("uploads"), lock=True),
    ),
    "PostgresUploadRepository.list_unfinished": Scenario(
        lambda r, s: r.list_unfinished(
            s.their("uploads", "collection_id"), s.their("uploads", "sha256")
        ),
    ),
    "PostgresUploadRepository.commit_part": Scenario(
        lambda r, s: r.commit_part(
            s.their("uploads"), "forged", start=0, end=5, expire_time=FAR_AHEAD
        ),
    ),
    "PostgresUploadRepository.list_parts": Scenario(
        lambda r, s: r.list_parts(s.their("uploads")), _commit_part
    ),
    "PostgresUploadRepository.finish": Scenario(
        lambda r, s: r.finish(
            s.their("uploads"), s.their("documents"), already_existed=True, expire_time=FAR_AHEAD
        ),
    ),
    "PostgresUploadRepository.abandon": Scenario(
        lambda r, s: r.abandon(s.their("uploads", "collection_id")),
    ),
    "PostgresUsageRepository.add": Scenario(
        lambda r, s: r.add(records.make_usage_record(s.ours)),
    ),
    "PostgresUsageRepository.sum": Scenario(
        lambda r, s: r.sum(
            start=LONG_AGO,
            end=FAR_AHEAD,
            group_by=[UsageDimension.MODEL],
            scope=WHOLE_TENANT,
            limit=100,
        ),
    ),
    "PostgresUserRepository.add": Scenario(
        lambda r, s: r.add(more_records.make_user(s.ours)),
    ),
    "PostgresUserRepository.find": Scenario(
        lambda r, s: r.find(s.their("users", "email")),
    ),
    "PostgresUserRepository.note_sign_in": Scenario(
        lambda r, s: r.note_sign_in(
            s.their("users"), password_hash=more_records.PASSWORD_HASH, new_hash="forged", now=NOW
        ),
    ),
    "PostgresWebhookRepository.add": Scenario(
        lambda r, s: r.add(more_records.make_webhook(s.ours)),
    ),
    "PostgresWebhookRepository.list_wanting": Scenario(
        lambda r, s: r.list_wanting(WebhookEventType.DOCUMENT_READY),
    ),
    "PostgresWebhookDeliveryRepository.add": Scenario(
        lambda r, s: r.add([more_records.make_delivery(s.ours, s.their("webhooks"))]),
    ),
    "PostgresWebhookDeliveryRepository.give_up": Scenario(
        lambda r, s: r.give_up(s.their("webhook_deliveries"), "forged"),
    ),
    "PostgresWebhookDeliveryRepository.give_up_all": Scenario(
        lambda r, s: r.give_up_all(s.their("webhooks"), "forged"),
    ),
    "PostgresWebhookDeliveryRepository.list_page": Scenario(
        lambda r, s: r.list_page(s.their("webhooks"), state=None, after=None, limit=100),
    ),
    "PostgresWebhookDeliveryRepository.lock_and_count_tests": Scenario(
        lambda r, s: r.lock_and_count_tests(timedelta(days=1)),
    ),
    "PostgresWebhookDeliveryRepository.record_attempt": Scenario(
        lambda r, s: r.record_attempt(
            s.their("webhook_deliveries"), DeliveryState.DELIVERED, status=200, error=""
        ),
    ),
    "PostgresWebhookDeliveryRepository.revive": Scenario(
        lambda r, s: r.revive(s.their("webhook_deliveries")), _deliver
    ),
}


async def _read_every_kind(repository: Any) -> list[object]:
    return [
        row
        for kind in repository.kinds
        for row in await repository.read_page(kind, after=None, limit=100)
    ]
