"""`minirag collection reembed`, `switch` and `discard`: searching a collection by another model."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from minirag.cli.confirming import YesFlag, confirm
from minirag.cli.connecting import client_command
from minirag.cli.naming import collection_id
from minirag.cli.output import to_dict
from minirag.cli.receipts import WaitFlag, follow, model_word
from minirag.cli.session import Session

CollectionArgument = Annotated[str, typer.Argument(metavar="COLLECTION", help="Its name or id.")]


@client_command("collection reembed")
def reembed_collection(
    session: Session,
    collection: CollectionArgument,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="One that the server's operator offers; '' is none, for words alone. Default: the"
            " server's own.",
            show_default=False,
        ),
    ] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(
            "--query",
            metavar="TEXT",
            help="Compare the results of this query; may be repeated. Default: beginnings of some chunks.",
        ),
    ] = None,
    switch: Annotated[
        bool, typer.Option("--switch", help="Search by the new embeddings once they are compared.")
    ] = False,
    wait: WaitFlag = True,
) -> None:
    """Embed a collection by another model, beside what it is searched by, and compare the results.

    Searches stay as they are until `minirag collection switch`, or --switch. Ctrl-C leaves it going on;
    `minirag operation cancel` calls it off.
    """
    from minirag_sdk.v1 import document_service_pb2 as pb

    request = pb.ReembedCollectionRequest(
        collection_id=collection_id(session, collection),
        embedding_model=model,
        sample_queries=query or (),
        switch_when_built=switch,
    )
    begun = session.call(session.documents.ReembedCollection, request).operation
    follow(session, begun, wait=wait)
    if wait and not session.output.as_json:
        now = (
            "It is searched so now. To go back"
            if switch
            else "Searches are as they were. To go over"
        )
        session.output.show(f"{now}: minirag collection switch {shlex.quote(collection)}")


@client_command("collection switch")
def switch_embeddings(session: Session, collection: CollectionArgument) -> None:
    """Search a collection by its other embeddings, at once. The same again goes back."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    request = pb.SwitchEmbeddingsRequest(collection_id=collection_id(session, collection))
    response = session.call(session.documents.SwitchEmbeddings, request)
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    now = response.collection
    session.output.show(
        f"{now.display_name} is searched by {model_word(now.embedding_model)} now;"
        f" {model_word(now.standby.embedding_model)} stands beside."
    )


@client_command("collection discard")
def discard_embeddings(
    session: Session, collection: CollectionArgument, wait: WaitFlag = True, yes: YesFlag = False
) -> None:
    """Erase the embeddings that a collection isn't searched by. There is no way back then."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    wanted = collection_id(session, collection)
    if not yes:
        confirm(session, f"Erase the embeddings of {collection} that it isn't searched by?")
    request = pb.DiscardEmbeddingsRequest(collection_id=wanted)
    begun = session.call(session.documents.DiscardEmbeddings, request).operation
    follow(session, begun, wait=wait)
