"""`minirag documents`: list, show, stop, retry and delete documents."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.connecting import client_command
from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure
from minirag.cli.naming import collection_id
from minirag.cli.output import to_dict
from minirag.cli.session import Session
from minirag.cli.wording import enum_word, format_size, format_time, parse_choices

if TYPE_CHECKING:
    from minirag_sdk.v1 import document_service_pb2 as document_pb

app = typer.Typer(help="List, show, stop, retry and delete documents.", no_args_is_help=True)

STATES = ("pending", "parsing", "embedding", "ready", "failed", "cancelled")
FAILURES = (
    "empty",
    "unsupported-format",
    "corrupt",
    "encrypted",
    "no-text",
    "too-large",
    "parser-limit",
    "parser-crash",
    "embedding-rejected",
    "retries-exhausted",
    "internal",
    "quota-exceeded",
)

DocumentArgument = Annotated[str, typer.Argument(metavar="ID", help="The document's id, doc_….")]
CollectionOption = Annotated[
    str,
    typer.Option(
        "--collection", metavar="NAME_OR_ID", help="Of this collection only.", show_default=False
    ),
]
FailureOption = Annotated[
    str,
    typer.Option(
        "--failure",
        metavar="LIST",
        help=f"That failed for one of these reasons, with commas: {', '.join(FAILURES)}.",
        show_default=False,
    ),
]


@app.command("list")
@client_command("documents list")
def list_documents(
    session: Session,
    collection: CollectionOption = "",
    state: Annotated[
        str,
        typer.Option(
            "--state",
            metavar="LIST",
            help=f"In these states only, with commas: {', '.join(STATES)}.",
            show_default=False,
        ),
    ] = "",
    failure: FailureOption = "",
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="The most that are listed; 0 means all.")
    ] = 0,
) -> None:
    """List documents, oldest first."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    words = parse_choices(state, STATES, "state") if state else []
    request = pb.ListDocumentsRequest(
        collection_id=collection_id(session, collection) if collection else "",
        states=[f"DOCUMENT_STATE_{word.upper()}" for word in words],
        failure_codes=failure_codes(failure),
    )
    listed = session.list_all(session.documents.ListDocuments, request, "documents")
    chosen = islice(listed, limit or None)
    if session.output.as_json:
        session.output.show_json({"documents": [to_dict(one) for one in chosen]})
        return
    session.output.show_table(
        ("Name", "ID", "State", "Version", "Size", "Chunks", "Changed"),
        (
            (
                one.display_name,
                one.id,
                describe_state(one),
                str(one.version),
                format_size(one.byte_size),
                str(one.chunk_count),
                format_time(one.update_time),
            )
            for one in chosen
        ),
        empty="No document is here yet: add some with `minirag upload PATH --collection NAME`.",
    )


@app.command("show")
@client_command("documents show")
def show_document(session: Session, document_id: DocumentArgument) -> None:
    """Show a document's description and state."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    response = session.call(
        session.documents.GetDocument, pb.GetDocumentRequest(document_id=document_id)
    )
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    one = response.document
    lines = {
        "Name": one.display_name,
        "ID": one.id,
        "Collection": one.collection_id,
        "External id": one.external_id,
        "State": describe_state(one),
        "Reason": one.failure.reason,
        "Version": f"{one.version} ({one.version_id})",
        "Searched": one.published_version_id or "nothing yet",
        "Type": one.media_type,
        "File": one.file_name,
        "Size": format_size(one.byte_size),
        "SHA-256": one.sha256,
        "Text": format_size(one.text_bytes) if one.text_bytes else "",
        "Pages": str(one.page_count or ""),
        "Chunks": f"{one.chunks_indexed} of {one.chunk_count} indexed",
        "Metadata": ", ".join(f"{key}={value}" for key, value in to_dict(one.metadata).items()),
        "Made": format_time(one.create_time),
        "Changed": format_time(one.update_time),
    }
    for label, value in lines.items():
        if value:
            session.output.show(f"{label + ':':<13}{value}")


@app.command("delete")
@client_command("documents delete")
def delete_document(
    session: Session,
    document_id: DocumentArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete a document: hidden at once, erased in the background. At a terminal it asks first."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    output = session.output
    if not yes and not output.as_json and sys.stdin.isatty():
        found = session.call(
            session.documents.GetDocument, pb.GetDocumentRequest(document_id=document_id)
        )
        name = found.document.display_name
        if not typer.confirm(f"Delete {name} with all its versions?", err=True):
            raise CliFailure("nothing was deleted", ExitCode.FAILURE)
    response = session.call(
        session.documents.DeleteDocument, pb.DeleteDocumentRequest(document_id=document_id)
    )
    if output.as_json:
        output.show_json(to_dict(response))
        return
    output.show(f"Deleted {document_id}.")


def failure_codes(text: str) -> list[str]:
    """Return the names of the codes of a list with commas; none of an empty one."""
    words = parse_choices(text, FAILURES, "failure") if text else []
    return [f"FAILURE_CODE_{word.upper().replace('-', '_')}" for word in words]


def describe_state(document: document_pb.Document) -> str:
    """Return a document's state in a word, with its progress while it is being indexed."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    word = enum_word(pb.DocumentState, document.state, "DOCUMENT_STATE_")
    if document.state == pb.DOCUMENT_STATE_EMBEDDING and document.chunk_count:
        return f"{word} {document.chunks_indexed}/{document.chunk_count}"
    if document.state == pb.DOCUMENT_STATE_PARSING and document.chunks_found:
        share = 100 * document.text_bytes_cut // max(document.text_bytes, 1)
        return f"{word}, {document.chunks_found} chunks of {share} % of the text"
    return word
