"""`minirag collection`: make and list collections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.connecting import client_command
from minirag.cli.output import to_dict
from minirag.cli.session import Session
from minirag.cli.wording import format_time

if TYPE_CHECKING:
    from minirag_sdk.v1 import document_service_pb2 as document_pb

app = typer.Typer(help="Make and list collections of documents.", no_args_is_help=True)


@app.command("create")
@client_command("collection create")
def create_collection(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Unique in the tenant.")],
    description: Annotated[str, typer.Option("--description", help="For people.")] = "",
) -> None:
    """Make a collection."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    response = session.call(
        session.documents.CreateCollection,
        pb.CreateCollectionRequest(display_name=name, description=description),
    )
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    made = response.collection
    session.output.show(
        f"Made collection {made.display_name} ({made.id}), searched by "
        f"{f'words and by {made.embedding_model}' if made.embedding_model else 'words (BM25)'}."
    )


@app.command("list")
@client_command("collection list")
def list_collections(session: Session) -> None:
    """List the tenant's collections, oldest first."""
    from minirag_sdk.v1 import document_service_pb2 as pb

    listed = session.list_all(
        session.documents.ListCollections, pb.ListCollectionsRequest(), "collections"
    )
    if session.output.as_json:
        session.output.show_json({"collections": [to_dict(one) for one in listed]})
        return
    session.output.show_table(
        ("Name", "ID", "Documents", "Embedding model", "Beside it", "Made", "Description"),
        (
            (
                one.display_name,
                one.id,
                str(one.document_count),
                _model(one.embedding_model),
                _standby(one),
                format_time(one.create_time),
                one.description,
            )
            for one in listed
        ),
        empty="There is no collection yet: make one with `minirag collection create NAME`.",
    )


def _model(name: str) -> str:
    return name or "none: lexical"


def _standby(collection: document_pb.Collection) -> str:
    """The embeddings that stand beside, and whether they can be switched to."""
    if not collection.HasField("standby"):
        return ""
    model = _model(collection.standby.embedding_model)
    return model if collection.standby.is_complete else f"{model} (on its way)"
