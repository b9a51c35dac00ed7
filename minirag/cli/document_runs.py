"""`minirag documents cancel`, `retry` and `retry-failed`."""

from __future__ import annotations

from typing import Annotated

import typer

from minirag.cli.connecting import client_command
from minirag.cli.documents import (
    CollectionOption,
    DocumentArgument,
    FailureOption,
    describe_state,
    failure_codes,
)
from minirag.cli.naming import collection_id
from minirag.cli.output import to_dict
from minirag.cli.session import PAGE_SIZE, Session
from minirag.cli.wording import count_of


@client_command("documents cancel")
def cancel_document(session: Session, document_id: DocumentArgument) -> None:
    """Stop a document that is on its way. Its file stays, and what was searchable before stays so."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    response = session.call(
        session.documents.CancelDocument, pb.CancelDocumentRequest(document_id=document_id)
    )
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    session.output.show(f"Cancelled {document_id}.")


@client_command("documents retry")
def retry_document(session: Session, document_id: DocumentArgument) -> None:
    """Take up a document that failed or was cancelled."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    response = session.call(
        session.documents.RetryDocument, pb.RetryDocumentRequest(document_id=document_id)
    )
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    session.output.show(f"{document_id} is {describe_state(response.document)}.")


@client_command("documents retry-failed")
def retry_failed(
    session: Session,
    collection: CollectionOption = "",
    failure: FailureOption = "",
    everywhere: Annotated[
        bool, typer.Option("--all", help="Of all collections, when no --collection is given.")
    ] = False,
) -> None:
    """Take up all documents that failed, each once."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    if not collection and not everywhere:
        raise typer.BadParameter("name a --collection, or pass --all")
    request = pb.RetryFailedRequest(
        collection_id=collection_id(session, collection) if collection else "",
        failure_codes=failure_codes(failure),
        page_size=PAGE_SIZE,
    )
    retried = 0
    while True:
        response = session.call(session.documents.RetryFailed, request)
        retried += response.retried_count
        if not response.next_page_token:
            break
        request.page_token = response.next_page_token
        request.request_id = ""  # each page is a request of its own
    if session.output.as_json:
        session.output.show_json({"retried_count": retried})
        return
    session.output.show(f"{count_of(retried, 'document')} taken up again.")
