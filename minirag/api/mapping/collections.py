"""Collections."""

from __future__ import annotations

from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.etags import encode_etag
from minirag.api.mapping.chunk_sizes import encode_chunk_sizes
from minirag.domain.documents import Collection, StandbyEmbeddings
from minirag.domain.ids import IdKind, encode_id


def encode_collection(collection: Collection) -> pb.Collection:
    return pb.Collection(
        id=encode_id(IdKind.COLLECTION, collection.id),
        display_name=collection.display_name,
        description=collection.description,
        embedding_model=collection.embedding_model,
        document_count=collection.document_count,
        create_time=collection.create_time,
        update_time=collection.update_time,
        etag=encode_etag(collection.id, collection.revision),
        standby=None if collection.standby is None else _encode_standby(collection.standby),
        chunking=(
            None if collection.chunk_sizes is None else encode_chunk_sizes(collection.chunk_sizes)
        ),
    )


def _encode_standby(standby: StandbyEmbeddings) -> pb.StandbyEmbeddings:
    return pb.StandbyEmbeddings(
        embedding_model=standby.model,
        is_complete=standby.is_complete,
        operation_id=encode_id(IdKind.OPERATION, standby.operation_id),
    )
