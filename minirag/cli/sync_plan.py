"""What `minirag sync` is going to do: a folder compared with what the collection holds of it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minirag.cli.sync_files import FolderContent, LocalFile
from minirag.cli.upload_files import UploadFile

if TYPE_CHECKING:
    from minirag_sdk.v1 import document_service_pb2 as document_pb

MARK = "minirag_sync"
"""The metadata key by which a sync knows what it put there; its value names the sync."""

WORTH_RETRYING = frozenset(
    {
        "FAILURE_CODE_EMBEDDING_REJECTED",
        "FAILURE_CODE_RETRIES_EXHAUSTED",
        "FAILURE_CODE_INTERNAL",
        "FAILURE_CODE_QUOTA_EXCEEDED",
    }
)
"""What isn't the file's fault: the same content may do better the next time."""


class Action(enum.StrEnum):
    ADD = "add"
    UPDATE = "update"
    RETRY = "retry"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do. A removal has no file, an addition no document."""

    action: Action
    name: str
    file: UploadFile | None = None
    document: document_pb.Document | None = None


@dataclass(frozen=True, slots=True)
class SyncPlan:
    steps: tuple[Step, ...]
    unchanged: int
    problems: Mapping[str, str]
    """Why a file is left as it is, by name."""

    def count(self, *actions: Action) -> int:
        return sum(step.action in actions for step in self.steps)

    def of(self, *actions: Action) -> Iterator[Step]:
        return (step for step in self.steps if step.action in actions)


def make_plan(
    content: FolderContent,
    documents: Iterable[document_pb.Document],
    mark: str,
    *,
    delete: bool,
    adopt: bool,
) -> SyncPlan:
    """Compare by content. What another hand put under a file's name is a problem, unless `adopt`."""
    known = {one.external_id: one for one in documents if one.external_id}
    steps: list[Step] = []
    problems = dict(content.skipped)
    unchanged = 0
    for name, local in content.files.items():
        document = known.get(name)
        if document is not None and not is_marked(document, mark) and not adopt:
            problems[name] = (
                "a document of that external id is there, which this sync didn't put there: take it over"
                " with --adopt"
            )
            continue
        step = _compare(local, document, mark)
        if isinstance(step, Step):
            steps.append(step)
        elif step:
            problems[name] = step
        else:
            unchanged += 1
    if delete:
        steps += [
            Step(Action.REMOVE, name, document=document)
            for name, document in sorted(known.items())
            if is_marked(document, mark) and not content.may_hold(name)
        ]
    return SyncPlan(tuple(steps), unchanged, problems)


def is_marked(document: document_pb.Document, mark: str) -> bool:
    """True for what this sync put there."""
    fields = document.metadata.fields
    return MARK in fields and fields[MARK].string_value == mark


def _compare(local: LocalFile, document: document_pb.Document | None, mark: str) -> Step | str:
    """The step that is needed; empty for none, else why there is none."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    name, file = local.file.name, local.file
    if document is None:
        return Step(Action.ADD, name, file)
    if document.sha256 != local.sha256 or not is_marked(document, mark):
        return Step(Action.UPDATE, name, file, document)
    if document.state == pb.DOCUMENT_STATE_FAILED:
        if pb.FailureCode.Name(document.failure.code) in WORTH_RETRYING:
            return Step(Action.RETRY, name, file, document)
        return document.failure.reason
    if document.state == pb.DOCUMENT_STATE_CANCELLED:
        return f"was cancelled: take it up with `minirag documents retry {document.id}`"
    return ""
