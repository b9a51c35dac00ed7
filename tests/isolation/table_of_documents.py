"""The isolation table's entries of DocumentService."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode
from minirag_sdk.v1 import document_service_pb2 as pb

from tests.isolation.contract import RPCS
from tests.isolation.entries import (
    Entry,
    Etag,
    Field,
    Free,
    Names,
    PageToken,
    RequestId,
    Token,
    Unread,
)
from tests.isolation.estates import Estate
from tests.isolation.kinds import UPLOADED

NAME = FieldMask(paths=["display_name"])
EXTERNAL_ID = Free(
    "a name of the client's own for a document; the same one may stand in any tenant",
    lambda theirs: theirs.texts["external_id"],
)
_OF_EMBEDDINGS: Mapping[str, Field] = {
    "collection_id": Names("reembedded"),
    "etag": Etag("collection_id", "reembedded"),
    "request_id": RequestId(),
}


def _watch(estate: Estate) -> pb.WatchDocumentsRequest:
    return pb.WatchDocumentsRequest(
        document_ids=[estate.ids["document"]],
        collection_id=estate.ids["collection"],
        until_final=True,
    )


async def _read_resume_token(estate: Estate) -> str:
    rpc = RPCS["DocumentService/WatchDocuments"]
    outcome = await estate.wire.attempt(rpc, [_watch(estate)], estate.bearer)
    token: str = outcome.responses[-1].resume_token
    return token


async def read_revision_token(estate: Estate) -> str:
    request = pb.GetDocumentRequest(document_id=estate.ids["document"])
    token: str = (await estate.send(request)).document.revision_token
    return token


ENTRIES = {
    "DocumentService/CreateCollection": Entry(
        lambda e: pb.CreateCollectionRequest(display_name=e.name("Made")),
        {"request_id": RequestId()},
    ),
    "DocumentService/GetCollection": Entry(
        lambda e: pb.GetCollectionRequest(collection_id=e.ids["collection"]),
        {"collection_id": Names("collection")},
    ),
    "DocumentService/ListCollections": Entry(
        lambda e: pb.ListCollectionsRequest(page_size=1), {"page_token": PageToken()}
    ),
    "DocumentService/UpdateCollection": Entry(
        lambda e: pb.UpdateCollectionRequest(
            collection=pb.Collection(id=e.ids["collection"], display_name=e.name("Renamed")),
            update_mask=NAME,
        ),
        {
            "collection.id": Names("collection"),
            "collection.etag": Etag("collection.id", "collection"),
            "collection.standby.operation_id": Unread("operation"),
            "request_id": RequestId(),
        },
    ),
    "DocumentService/DeleteCollection": Entry(
        lambda e: pb.DeleteCollectionRequest(collection_id=e.ids["collection"]),
        {
            "collection_id": Names("collection"),
            "etag": Etag("collection_id", "collection"),
            "request_id": RequestId(),
        },
        uses={"collection_id": "collection"},
    ),
    "DocumentService/ReembedCollection": Entry(
        lambda e: pb.ReembedCollectionRequest(
            collection_id=e.ids["collection"], embedding_model=""
        ),
        {
            "collection_id": Names("collection"),
            "etag": Etag("collection_id", "collection"),
            "request_id": RequestId(),
        },
        uses={"collection_id": "collection"},
    ),
    "DocumentService/SwitchEmbeddings": Entry(
        lambda e: pb.SwitchEmbeddingsRequest(collection_id=e.ids["reembedded"]),
        _OF_EMBEDDINGS,
    ),
    "DocumentService/DiscardEmbeddings": Entry(
        lambda e: pb.DiscardEmbeddingsRequest(collection_id=e.ids["reembedded"]),
        _OF_EMBEDDINGS,
        uses={"collection_id": "reembedded"},
    ),
    "DocumentService/CreateDocument": Entry(
        lambda e: pb.CreateDocumentRequest(collection_id=e.ids["scratch"], text="made"),
        {
            "collection_id": Names("collection"),
            "external_id": EXTERNAL_ID,
            "request_id": RequestId(),
        },
        uses={"collection_id": "collection"},
    ),
    "DocumentService/CreateDocuments": Entry(
        lambda e: pb.CreateDocumentsRequest(
            documents=[pb.CreateDocumentRequest(collection_id=e.ids["scratch"], text="made")]
        ),
        {
            # The call is answered, and says of each document why it wasn't accepted.
            "documents.collection_id": Names("collection", absent=StatusCode.OK),
            "documents.external_id": EXTERNAL_ID,
            # What is wrong with one document is told in its place.
            "documents.request_id": RequestId(malformed=StatusCode.OK),
        },
    ),
    "DocumentService/UploadDocument": Entry(
        lambda e: pb.UploadDocumentRequest(
            header=pb.UploadDocumentHeader(collection_id=e.ids["scratch"])
        ),
        {
            "header.collection_id": Names("collection"),
            "header.external_id": EXTERNAL_ID,
            "header.request_id": RequestId(),
            "resume.upload_id": Names("upload"),
        },
        uses={"header.collection_id": "collection"},
        alone={"resume.upload_id": "upload"},
        rest=(pb.UploadDocumentRequest(data=UPLOADED),),
    ),
    "DocumentService/StartUpload": Entry(
        lambda e: pb.StartUploadRequest(
            header=pb.UploadDocumentHeader(
                collection_id=e.ids["scratch"],
                byte_size=len(UPLOADED),
                sha256=hashlib.sha256(UPLOADED).hexdigest(),
            )
        ),
        {
            "header.collection_id": Names("collection"),
            "header.external_id": EXTERNAL_ID,
            "header.request_id": RequestId(),
        },
        uses={"header.collection_id": "collection"},
    ),
    "DocumentService/GetUpload": Entry(
        lambda e: pb.GetUploadRequest(upload_id=e.ids["upload"]), {"upload_id": Names("upload")}
    ),
    "DocumentService/WriteUpload": Entry(
        lambda e: pb.WriteUploadRequest(upload_id=e.ids["upload"], data=UPLOADED, finish=True),
        {"upload_id": Names("upload")},
        uses={"upload_id": "upload"},
    ),
    "DocumentService/DeleteUpload": Entry(
        lambda e: pb.DeleteUploadRequest(upload_id=e.ids["upload"]),
        {"upload_id": Names("upload"), "request_id": RequestId()},
        uses={"upload_id": "upload"},
    ),
    "DocumentService/CancelDocument": Entry(
        lambda e: pb.CancelDocumentRequest(document_id=e.ids["cancelled"]),
        {"document_id": Names("cancelled"), "request_id": RequestId()},
        uses={"document_id": "cancelled"},
    ),
    "DocumentService/RetryDocument": Entry(
        lambda e: pb.RetryDocumentRequest(document_id=e.ids["cancelled"]),
        {"document_id": Names("cancelled"), "request_id": RequestId()},
        uses={"document_id": "cancelled"},
    ),
    "DocumentService/RetryFailed": Entry(
        lambda e: pb.RetryFailedRequest(collection_id=e.ids["scratch"], page_size=1),
        {
            "collection_id": Names("collection"),
            "page_token": PageToken(),
            "request_id": RequestId(),
        },
    ),
    "DocumentService/GetDocument": Entry(
        lambda e: pb.GetDocumentRequest(document_id=e.ids["document"]),
        {"document_id": Names("document")},
    ),
    "DocumentService/GetDocumentText": Entry(
        lambda e: pb.GetDocumentTextRequest(document_id=e.ids["document"]),
        {"document_id": Names("document"), "version_id": Names("version")},
    ),
    "DocumentService/ListDocuments": Entry(
        lambda e: pb.ListDocumentsRequest(collection_id=e.ids["collection"], page_size=1),
        {
            "collection_id": Names("collection"),
            "external_id": EXTERNAL_ID,
            "page_token": PageToken(),
        },
    ),
    "DocumentService/UpdateDocument": Entry(
        lambda e: pb.UpdateDocumentRequest(
            document=pb.Document(id=e.ids["document"], display_name=e.name("Renamed")),
            update_mask=NAME,
        ),
        {
            "document.id": Names("document"),
            "document.etag": Etag("document.id", "document"),
            "document.collection_id": Unread("collection"),
            "document.external_id": EXTERNAL_ID,
            "document.version_id": Unread("version"),
            "document.published_version_id": Unread("version"),
            "document.revision_token": Unread("document"),
            "request_id": RequestId(),
        },
    ),
    "DocumentService/DeleteDocument": Entry(
        lambda e: pb.DeleteDocumentRequest(document_id=e.ids["document"]),
        {
            "document_id": Names("document"),
            "etag": Etag("document_id", "document"),
            "request_id": RequestId(),
        },
        uses={"document_id": "document"},
    ),
    "DocumentService/PurgeDocuments": Entry(
        lambda e: pb.PurgeDocumentsRequest(
            collection_id=e.ids["collection"],
            filter=pb.DocumentPurgeFilter(external_id_prefix="nothing begins so"),
            force=True,
        ),
        {"collection_id": Names("collection"), "request_id": RequestId()},
    ),
    "DocumentService/WatchDocuments": Entry(
        _watch,
        {
            "collection_id": Names("collection"),
            # What isn't there yields no event: others of the list may be. What can't be an id is told.
            "document_ids": Names("document", absent=StatusCode.OK, malformed=StatusCode.NOT_FOUND),
            "resume_token": Token(_read_resume_token),
        },
    ),
    "DocumentService/ListChunks": Entry(
        lambda e: pb.ListChunksRequest(document_id=e.ids["document"], page_size=1),
        {"document_id": Names("document"), "page_token": PageToken()},
    ),
    "DocumentService/Search": Entry(
        lambda e: pb.SearchRequest(query="Which word opens the vault of the castle?"),
        {"collection_ids": Names("collection"), "min_revision": Token(read_revision_token)},
    ),
}
