"""What the application's role may do: on each table exactly what its queries need, and no DDL.

Rows that go with their parent (messages, ...) are deleted by foreign keys, which act with the
owner's rights: the application itself may not delete them.
"""

from __future__ import annotations

GRANTS = {
    "alembic_version": {"SELECT"},
    "tenants": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "api_keys": {"SELECT", "INSERT", "UPDATE"},
    "collections": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "collection_document_counts": {"SELECT", "INSERT", "UPDATE"},
    "documents": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "document_versions": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "document_changes": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "chunks": {"SELECT", "INSERT", "DELETE"},
    "embedding_spaces": {"SELECT", "INSERT"},
    "assistants": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "conversations": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "messages": {"SELECT", "INSERT", "UPDATE"},
    "generations": {"SELECT", "INSERT", "UPDATE"},
    "usage_records": {"SELECT", "INSERT"},
    "requests": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "jobs": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "users": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "sessions": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "sign_in_failures": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "tenant_totals": {"SELECT", "INSERT", "UPDATE"},
    "budgets": {"SELECT", "INSERT", "UPDATE"},
    "budget_reservations": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "model_prices": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "provider_credentials": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    # Only ever added to.
    "audit_events": {"SELECT", "INSERT"},
    "platform_audit_events": {"SELECT", "INSERT"},
    "webhooks": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "webhook_deliveries": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "uploads": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "sources": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "source_pages": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "operations": {"SELECT", "INSERT", "UPDATE"},
}
