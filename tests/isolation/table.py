"""The isolation table: an entry for every RPC of the contract."""

from __future__ import annotations

from collections.abc import Mapping

from tests.isolation import (
    table_of_chats,
    table_of_documents,
    table_of_events,
    table_of_people,
    table_of_sources,
    table_of_tenants,
)
from tests.isolation.entries import Entry

TABLE: Mapping[str, Entry] = {
    **table_of_tenants.ENTRIES,
    **table_of_people.ENTRIES,
    **table_of_events.ENTRIES,
    **table_of_sources.ENTRIES,
    **table_of_documents.ENTRIES,
    **table_of_chats.ENTRIES,
}
