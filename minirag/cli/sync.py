"""`minirag sync`: a collection that holds what a folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.connecting import client_command
from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure, describe_rpc_error
from minirag.cli.naming import collection_id
from minirag.cli.output import Output
from minirag.cli.session import Session
from minirag.cli.sync_files import read_folder
from minirag.cli.sync_plan import MARK, Action, Step, SyncPlan, make_plan
from minirag.cli.upload_files import UploadFile
from minirag.cli.upload_progress import UploadProgress
from minirag.cli.uploading import Uploader, UploadPlan
from minirag.cli.wording import count_of

if TYPE_CHECKING:
    from minirag_sdk.v1 import document_service_pb2 as document_pb

SHOWN = 50
"""Steps that are told one by one; of more, only the counts. JSON tells all."""
_SIGNS = {Action.ADD: "+", Action.UPDATE: "~", Action.RETRY: "?", Action.REMOVE: "-"}


@client_command("sync")
def sync(
    session: Session,
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", exists=True, file_okay=False, help="What shall be there."),
    ],
    collection: Annotated[
        str, typer.Option("--collection", metavar="NAME_OR_ID", help="Where it shall be.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")
    ] = False,
    delete: Annotated[
        bool,
        typer.Option(
            "--delete/--no-delete",
            help="Remove documents that an earlier sync put there and whose file is gone.",
        ),
    ] = True,
    mark: Annotated[
        str,
        typer.Option(
            "--mark",
            metavar="TEXT",
            help="What tells this folder's documents from those of other folders in the collection."
            " Default: the folder's name.",
            show_default=False,
        ),
    ] = "",
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt", help="Take over documents that stand under the files' names already."
        ),
    ] = False,
    allow_empty: Annotated[
        bool,
        typer.Option("--allow-empty", help="Remove all documents when the folder holds no file."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the documents are searchable.")
    ] = True,
) -> None:
    """Make a collection hold what a folder holds: adds, updates and removes documents.

    A file's path within the folder is its document's external id. Files are compared by content; what
    hasn't changed isn't sent. May be interrupted and repeated at any time. Exit code 7 when some files
    couldn't be taken or some documents failed.
    """
    name = mark or folder.resolve().name or "/"
    content = read_folder(folder)
    where = collection_id(session, collection)
    plan = make_plan(content, _list(session, where), name, delete=delete, adopt=adopt)
    if not content.files and plan.count(Action.REMOVE) and not allow_empty:
        raise CliFailure(
            f"{folder} holds no file, and {count_of(plan.count(Action.REMOVE), 'document')} would go",
            ExitCode.USAGE,
            advice="check that it is the right folder, or pass --allow-empty",
        )
    _show_plan(session.output, plan)
    if dry_run:
        if plan.problems:
            raise typer.Exit(ExitCode.DOCUMENTS_FAILED)
        return
    failed = len(plan.problems)
    failed += _send(session, where, plan, name, wait=wait)
    failed += _remove(session, plan)
    if failed:
        raise typer.Exit(ExitCode.DOCUMENTS_FAILED)


def _list(session: Session, collection: str) -> list[document_pb.Document]:
    from minirag_sdk.v1 import document_service_pb2 as pb

    request = pb.ListDocumentsRequest(collection_id=collection)
    return list(session.list_all(session.documents.ListDocuments, request, "documents"))


def _show_plan(output: Output, plan: SyncPlan) -> None:
    counts = {action.value: plan.count(action) for action in Action}
    if output.as_json:
        for step in plan.steps:
            output.show_event({"event": "plan", "action": step.action.value, "file": step.name})
        for name, reason in plan.problems.items():
            output.show_event({"event": "problem", "file": name, "reason": reason})
        output.show_event(
            {
                "event": "planned",
                **counts,
                "unchanged": plan.unchanged,
                "problems": len(plan.problems),
            }
        )
        return
    for step in plan.steps if len(plan.steps) <= SHOWN else ():
        output.show(f"{_SIGNS[step.action]} {step.name}")
    for name, reason in plan.problems.items():
        output.show(f"! {name}: {reason}")
    told = [f"{count:,} to {what}" for what, count in counts.items() if count]
    told.append(f"{plan.unchanged:,} unchanged")
    if plan.problems:
        told.append(f"{count_of(len(plan.problems), 'problem')}")
    output.show(f"Plan: {', '.join(told)}.")


def _send(session: Session, where: str, plan: SyncPlan, mark: str, *, wait: bool) -> int:
    """Send what is new, and take up what failed; return how many failed."""
    sent = [step.file for step in plan.of(Action.ADD, Action.UPDATE) if step.file is not None]
    retried = list(plan.of(Action.RETRY))
    if not sent and not retried:
        return 0
    progress = UploadProgress(session.output, len(sent) + len(retried))
    uploader = Uploader(session, UploadPlan(where, {MARK: mark}), progress)
    with progress.shown():
        accepted = uploader.upload(sent)
        for step in retried:
            accepted |= _retry(session, step, progress)
        if wait and accepted:
            uploader.watch(accepted)
    progress.summarize(waited=wait)
    return len(progress.failures)


def _retry(
    session: Session, step: Step, progress: UploadProgress
) -> dict[str, tuple[UploadFile, int]]:
    import grpc
    from minirag_sdk.v1 import document_service_pb2 as pb

    if step.document is None or step.file is None:
        return {}
    request = pb.RetryDocumentRequest(document_id=step.document.id)
    try:
        document = session.call(session.documents.RetryDocument, request).document
    except grpc.RpcError as error:
        progress.lost(step.file, _described(session, error))
        return {}
    progress.accepted(step.file, document)
    return {document.id: (step.file, document.version)}


def _remove(session: Session, plan: SyncPlan) -> int:
    """Delete what is gone, after all that is new has been accepted; return how many were refused."""
    import grpc
    from minirag_sdk.v1 import document_service_pb2 as pb

    refused = 0
    output = session.output
    for step in plan.of(Action.REMOVE):
        if step.document is None:
            continue
        final = (pb.DOCUMENT_STATE_READY, pb.DOCUMENT_STATE_FAILED, pb.DOCUMENT_STATE_CANCELLED)
        # Whose document was changed meanwhile isn't removed. Progress changes it as well.
        etag = step.document.etag if step.document.state in final else ""
        request = pb.DeleteDocumentRequest(document_id=step.document.id, etag=etag)
        try:
            session.call(session.documents.DeleteDocument, request)
        except grpc.RpcError as error:
            failure = _described(session, error)
            if failure.status != "NOT_FOUND":  # somebody else removed it
                refused += 1
                if output.as_json:
                    output.show_event({"event": "kept", "file": step.name, **failure.to_json()})
                else:
                    output.show(f"! {step.name}: {failure.line}")
                continue
        if output.as_json:
            output.show_event({"event": "removed", "file": step.name})
    removed = plan.count(Action.REMOVE) - refused
    if removed and not output.as_json:
        output.show(f"{count_of(removed, 'document')} removed.")
    return refused


def _described(session: Session, error: Exception) -> CliFailure:
    """What became of one step. Raises the error when no other will fare better."""
    failure = describe_rpc_error(error, session.server)  # type: ignore[arg-type]  # an RpcError
    if failure.status in ("UNAUTHENTICATED", "PERMISSION_DENIED", "UNAVAILABLE"):
        raise error
    return failure
