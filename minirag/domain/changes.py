"""What changed since when: positions in a tenant's changes that tell what a reader has seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from minirag.domain.documents import Document, DocumentVersion

POSITION_LIFETIME = timedelta(days=7)
"""How long a position can be continued from. Deletions are remembered for a day longer."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """Which transactions a moment shows: those below `next`, save the ones `running` at that moment."""

    oldest: int
    """The first that was running, or `next`: all below it had ended."""
    next: int
    running: tuple[int, ...] = ()
    """Ascending, from `oldest` on."""

    def shows(self, change: int) -> bool:
        return change < self.next and change not in self.running


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """A document's last change: `change` is its transaction, `added` the one that made the document.

    `document` is None when it is deleted, or is hidden for the moment.
    """

    document_id: UUID
    added: int
    change: int
    document: Document | None
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes in order, and what the statement that read them could see, at what time of the store's."""

    changes: tuple[DocumentChange, ...]
    horizon: Horizon
    time: datetime


@dataclass(frozen=True, slots=True)
class WatchPosition:
    """What a watch has told: all that `told` shows, and of what `upto` shows beyond it, the changes up to
    and including `after`."""

    told: Horizon | None
    """None while the documents are told for the first time."""
    upto: Horizon | None
    after: tuple[int, UUID] | None
    time: datetime
    """When the store was as `told` shows it, or, before that, when the watch began."""
    snapshot_count: int
    is_snapshot_over: bool


@dataclass(frozen=True, slots=True)
class RevisionMark:
    """A state of a document that a search shall show: its version of that number, with the metadata that it
    then had, or that it is gone."""

    document_id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class Searchability:
    """What searches show of a document that isn't deleted."""

    published_number: int
    """0 before the first READY."""
    newest: DocumentVersion
    is_metadata_due: bool
    """Whether metadata has still to be brought to the index."""
