"""`minirag documents purge` and `minirag collection delete`: erasing many documents at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from minirag.cli import documents
from minirag.cli.confirming import YesFlag, confirm
from minirag.cli.connecting import client_command
from minirag.cli.naming import collection_id
from minirag.cli.output import to_dict
from minirag.cli.receipts import WaitFlag, follow
from minirag.cli.session import Session
from minirag.cli.wording import count_of, parse_choices, parse_duration, parse_metadata


@client_command("documents purge")
def purge_documents(
    session: Session,
    collection: Annotated[
        str, typer.Option("--collection", metavar="NAME_OR_ID", help="Whose documents.")
    ],
    state: Annotated[
        str,
        typer.Option(
            "--state",
            metavar="LIST",
            help=f"In these states only, with commas: {', '.join(documents.STATES)}.",
            show_default=False,
        ),
    ] = "",
    metadata: Annotated[
        list[str] | None,
        typer.Option("--metadata", metavar="KEY=VALUE", help="With this value; may be repeated."),
    ] = None,
    prefix: Annotated[
        str,
        typer.Option(
            "--external-id-prefix", help="Whose external id begins so.", show_default=False
        ),
    ] = "",
    unchanged_for: Annotated[
        str,
        typer.Option(
            "--unchanged-for",
            metavar="DURATION",
            help="Not changed for so long, as in 30d.",
            show_default=False,
        ),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count them, and show some.")
    ] = False,
    wait: WaitFlag = True,
    yes: YesFlag = False,
) -> None:
    """Erase the documents of a collection that match all of it. It counts them and asks first."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    output = session.output
    narrow = pb.DocumentPurgeFilter(external_id_prefix=prefix)
    if state:
        words = parse_choices(state, documents.STATES, "state")
        narrow.MergeFrom(
            pb.DocumentPurgeFilter(states=[f"DOCUMENT_STATE_{word.upper()}" for word in words])
        )
    if metadata:
        narrow.metadata.update(parse_metadata(metadata))
    if unchanged_for:
        narrow.updated_before.FromDatetime(datetime.now(UTC) - parse_duration(unchanged_for))
    request = pb.PurgeDocumentsRequest(
        collection_id=collection_id(session, collection), filter=narrow
    )
    if dry_run or not yes:
        shown = session.call(session.documents.PurgeDocuments, request)
        if dry_run and output.as_json:
            output.show_json(to_dict(shown))
            return
        matching = count_of(shown.document_count, "document")
        if dry_run:
            output.show(f"{matching} would be erased.")
            for one in shown.sample_document_ids:
                output.show(one)
            return
        confirm(session, f"Erase {matching} of {collection}?")
    request.force = True
    request.request_id = ""
    begun = session.call(session.documents.PurgeDocuments, request).operation
    follow(session, begun, wait=wait)


@client_command("collection delete")
def delete_collection(
    session: Session,
    collection: Annotated[str, typer.Argument(metavar="NAME_OR_ID")],
    wait: WaitFlag = True,
    yes: YesFlag = False,
) -> None:
    """Erase a collection with its documents: hidden at once. It can't be undone."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    wanted = collection_id(session, collection)
    if not yes:
        confirm(session, f"Erase {collection} with all its documents?")
    request = pb.DeleteCollectionRequest(collection_id=wanted)
    begun = session.call(session.documents.DeleteCollection, request).operation
    follow(session, begun, wait=wait)
