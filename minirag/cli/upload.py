"""`minirag upload`: files and folders into a collection."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.connecting import client_command
from minirag.cli.exit_codes import ExitCode
from minirag.cli.naming import collection_id
from minirag.cli.output import Output
from minirag.cli.session import Session
from minirag.cli.upload_files import UploadFile, collect_files, collect_unnamed_files
from minirag.cli.upload_progress import UploadProgress
from minirag.cli.uploading import Uploader, UploadPlan
from minirag.cli.wording import parse_metadata

if TYPE_CHECKING:
    from minirag_sdk.v1 import document_service_pb2 as document_pb


class ExternalIdSource(enum.StrEnum):
    PATH = "path"
    NONE = "none"


@client_command("upload")
def upload(
    session: Session,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", exists=True, help="Files, and folders with all in them."),
    ],
    collection: Annotated[
        str, typer.Option("--collection", metavar="NAME_OR_ID", help="Where they go.")
    ],
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            "--metadata",
            metavar="KEY=VALUE",
            help="For each document; may be given several times. Numbers, true and false are such, "
            "anything else is text.",
            show_default=False,
        ),
    ] = None,
    external_id_from: Annotated[
        ExternalIdSource,
        typer.Option(
            "--external-id-from",
            help="path: the path within the given folder is the document's external id, so that "
            "uploading again makes a new version of what has changed. none: a new document for each "
            "content that the collection hasn't got.",
        ),
    ] = ExternalIdSource.PATH,
    skip_unchanged: Annotated[
        bool,
        typer.Option("--skip-unchanged", help="Leave out files whose content is there already."),
    ] = False,
    allow_duplicates: Annotated[
        bool,
        typer.Option(
            "--allow-duplicates", help="Take files whose content is there already as new ones, too."
        ),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the documents are searchable.")
    ] = True,
) -> None:
    """Upload files and folders, and follow them until they are searchable.

    Large files go on where they stopped, after a broken connection and when this is run again.
    Exit code 7 when some documents failed.
    """
    by_path = external_id_from is ExternalIdSource.PATH
    given = parse_metadata(metadata or ())
    files = collect_files(paths) if by_path else collect_unnamed_files(paths)
    where = collection_id(session, collection)
    known = list_contents(session, where) if skip_unchanged and by_path else {}
    plan = UploadPlan(where, given, by_path, allow_duplicates, known)
    progress = upload_files(session, session.output, plan, files, wait=wait)
    progress.summarize(waited=wait)
    if progress.failures:
        raise typer.Exit(ExitCode.DOCUMENTS_FAILED)


def upload_files(
    session: Session, output: Output, plan: UploadPlan, files: Sequence[UploadFile], *, wait: bool
) -> UploadProgress:
    """Upload with progress, until READY if `wait`; return how it went."""
    progress = UploadProgress(output, len(files))
    uploader = Uploader(session, plan, progress)
    with progress.shown():
        accepted = uploader.upload(files)
        if wait and accepted:
            uploader.watch(accepted)
    return progress


def list_contents(session: Session, collection: str) -> dict[str, document_pb.Document]:
    """Return the collection's documents by external id, FAILED and CANCELLED ones left out."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    listed = session.list_all(
        session.documents.ListDocuments,
        pb.ListDocumentsRequest(collection_id=collection),
        "documents",
    )
    return {
        one.external_id: one
        for one in listed
        if one.external_id
        and one.state not in (pb.DOCUMENT_STATE_FAILED, pb.DOCUMENT_STATE_CANCELLED)
    }
