"""The upload engine: several files at once, then their way to READY by one watch stream.

It tells what happens to an `UploadListener`; memory doesn't grow with the files' sizes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure, describe_rpc_error
from minirag.cli.session import Session
from minirag.cli.upload_files import UploadFile, hash_file, read_parts

if TYPE_CHECKING:
    from minirag_sdk.v1 import document_service_pb2 as document_pb

PARALLEL_UPLOADS = 4
RESUMABLE_BYTES = 8 * 1024 * 1024
"""A file from this size on is sent so that what came through once needn't be sent again."""
MOST_CLASHES = 10
"""How often in a row an upload may turn out to stand elsewhere: a call that broke off may end later."""
WATCHED_AT_ONCE = 1000
"""The contract's limit of documents in one watch."""


_HOPELESS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "UNAVAILABLE", "NOT_FOUND"})


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """Where the files go. `external_ids` makes each file's name its external id."""

    collection_id: str
    metadata: Mapping[str, str | float | bool] = field(default_factory=dict)
    external_ids: bool = True
    allow_duplicates: bool = False
    """Send content again that the collection has already."""
    known: Mapping[str, document_pb.Document] = field(default_factory=dict)
    """By external id: documents whose content needn't be sent again."""


class UploadListener(Protocol):
    """Is told what happens, from several threads."""

    def sending(self, file: UploadFile, sent: int, total: int) -> None: ...

    def unchanged(self, file: UploadFile) -> None: ...

    def accepted(self, file: UploadFile, document: document_pb.Document) -> None: ...

    def progressed(self, file: UploadFile, document: document_pb.Document) -> None:
        """The document changed; its state may be final."""

    def lost(self, file: UploadFile, failure: CliFailure) -> None:
        """The file wasn't taken, or its document vanished."""


class Uploader:
    """Uploads files over one session."""

    def __init__(self, session: Session, plan: UploadPlan, listener: UploadListener) -> None:
        self._session = session
        self._plan = plan
        self._listener = listener
        self._stopping = threading.Event()
        self._calls: set[Any] = set()
        self._lock = threading.Lock()

    def upload(self, files: Sequence[UploadFile]) -> dict[str, tuple[UploadFile, int]]:
        """Upload the files; return those that were accepted, with their versions, by document id.

        What goes wrong with one file is told and doesn't stop the others, save a server that can't be
        reached or refuses the key: that raises.
        """
        accepted: dict[str, tuple[UploadFile, int]] = {}
        waiting = iter(files)
        with ThreadPoolExecutor(PARALLEL_UPLOADS, "upload") as pool:
            try:
                under_way: dict[Future[document_pb.Document | None], UploadFile] = {}
                while True:
                    for file in waiting:
                        under_way[pool.submit(self._upload_one, file)] = file
                        if len(under_way) >= PARALLEL_UPLOADS:
                            break
                    if not under_way:
                        return accepted
                    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                        file = under_way.pop(future)
                        document = self._result(file, future)
                        if document is not None:
                            accepted[document.id] = (file, document.version)
            except BaseException:
                self._stop()
                raise

    def watch(self, accepted: Mapping[str, tuple[UploadFile, int]]) -> None:
        """Tell the progress of accepted documents until each is READY, FAILED or gone."""
        ids = list(accepted)
        for start in range(0, len(ids), WATCHED_AT_ONCE):
            watched = {one: accepted[one] for one in ids[start : start + WATCHED_AT_ONCE]}
            # A watch that broke off starts over with how things are then.
            self._session.retry(lambda watched=watched: self._watch_some(watched))  # type: ignore[misc]  # mypy can't infer a lambda with a default

    def _watch_some(self, watched: Mapping[str, tuple[UploadFile, int]]) -> None:
        from minirag_sdk.v1 import document_service_pb2 as pb

        unseen = set(watched)
        request = pb.WatchDocumentsRequest(document_ids=list(watched), until_final=True)
        with self._session.stream(self._session.documents.WatchDocuments, request) as events:
            for event in events:
                if event.HasField("document") and event.document.id in watched:
                    file, version = watched[event.document.id]
                    unseen.discard(event.document.id)
                    if event.document.version >= version:
                        self._listener.progressed(file, event.document)
                elif event.deleted_document_id in watched:
                    unseen.discard(event.deleted_document_id)
                    self._listener.lost(watched[event.deleted_document_id][0], _deleted())
        for document_id in unseen:
            self._listener.lost(watched[document_id][0], _deleted())

    def _result(
        self, file: UploadFile, future: Future[document_pb.Document | None]
    ) -> document_pb.Document | None:
        import grpc  # imported by now

        try:
            return future.result()
        except CliFailure as failure:
            self._listener.lost(file, failure)
        except OSError as error:
            reason = f"can't read {file.path}: {error.strerror or error}"
            self._listener.lost(file, CliFailure(reason, ExitCode.FAILURE))
        except grpc.RpcError as error:
            described = describe_rpc_error(error, self._session.server)
            # No other file will fare better. What isn't found is the collection.
            if described.status in _HOPELESS:
                raise
            self._listener.lost(file, described)
        return None

    def _upload_one(self, file: UploadFile) -> document_pb.Document | None:
        from minirag_sdk.v1 import document_service_pb2 as pb

        sha256 = hash_file(file.path)
        known = self._plan.known.get(file.name)
        if known is not None and known.sha256 == sha256:
            if known.state == pb.DOCUMENT_STATE_READY:
                self._listener.unchanged(file)
                return None
            self._listener.accepted(file, known)  # by an upload that isn't through yet
            return known
        header = pb.UploadDocumentHeader(
            collection_id=self._plan.collection_id,
            display_name=file.name,
            external_id=file.name if self._plan.external_ids else "",
            file_name=file.path.name,
            byte_size=file.path.stat().st_size,
            sha256=sha256,
            request_id=str(uuid4()),
            allow_duplicate=self._plan.allow_duplicates,
        )
        if self._plan.metadata:
            header.metadata.update(self._plan.metadata)
        if header.byte_size < RESUMABLE_BYTES:
            first = pb.UploadDocumentRequest(header=header)
            answer = self._session.retry(lambda: self._send(file, first, header.byte_size))
        else:
            answer = self._send_resumably(file, header)
        document = answer.document
        if answer.already_existed and document.state == pb.DOCUMENT_STATE_READY:
            self._listener.unchanged(file)
            return None
        self._listener.accepted(file, document)
        return document

    def _send_resumably(
        self, file: UploadFile, header: document_pb.UploadDocumentHeader
    ) -> document_pb.UploadDocumentResponse:
        """Send what the server hasn't got yet, of this run or an earlier one, until it has all."""
        from minirag_sdk.v1 import document_service_pb2 as pb

        documents = self._session.documents
        begun = self._session.call(documents.StartUpload, pb.StartUploadRequest(header=header))
        asked = pb.GetUploadRequest(upload_id=begun.upload.id)

        def go_on() -> document_pb.UploadDocumentResponse:
            upload = self._session.call(documents.GetUpload, asked).upload
            if upload.HasField("document"):
                return pb.UploadDocumentResponse(
                    document=upload.document, already_existed=upload.already_existed
                )
            resume = pb.UploadResume(upload_id=upload.id, offset=upload.committed_bytes)
            first = pb.UploadDocumentRequest(resume=resume)
            return self._send(file, first, header.byte_size)

        return self._session.retry(lambda: _until_alone(go_on))

    def _send(
        self, file: UploadFile, first: document_pb.UploadDocumentRequest, total: int
    ) -> document_pb.UploadDocumentResponse:
        sending = _Sending(self, file, first, total)
        call = self._session.start_upload(sending.parts())
        with self._lock:
            self._calls.add(call)
        try:
            if self._stopping.is_set():
                call.cancel()
            answer: document_pb.UploadDocumentResponse = call.result()
        except Exception:
            if sending.error is not None:
                raise sending.error from None
            raise
        finally:
            with self._lock:
                self._calls.discard(call)
        return answer

    def tell_sent(self, file: UploadFile, sent: int, total: int) -> None:
        self._listener.sending(file, sent, total)

    def _stop(self) -> None:
        self._stopping.set()
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.cancel()


class _Sending:
    """One attempt at sending a file; `error` is why it couldn't be read to its end."""

    def __init__(
        self,
        uploader: Uploader,
        file: UploadFile,
        first: document_pb.UploadDocumentRequest,
        total: int,
    ) -> None:
        self._uploader = uploader
        self._file = file
        self._first = first
        self._total = total
        self.error: OSError | None = None

    def parts(self) -> Iterator[document_pb.UploadDocumentRequest]:
        """Yield the messages. gRPC takes the next one when the one before is on its way."""
        from minirag_sdk.v1 import document_service_pb2 as pb

        yield self._first
        sent = self._first.resume.offset
        try:
            for part in read_parts(self._file.path, sent):
                yield pb.UploadDocumentRequest(data=part)
                sent += len(part)
                self._uploader.tell_sent(self._file, sent, self._total)
        except OSError as error:
            # Ending early makes the server refuse the upload, as its size is known; raising here would
            # make gRPC log a stack trace.
            self.error = error


def _until_alone(
    attempt: Callable[[], document_pb.UploadDocumentResponse],
) -> document_pb.UploadDocumentResponse:
    """Make the attempt again while somebody else, as a call of ours that broke off, writes meanwhile."""
    import grpc  # imported by now

    for _ in range(MOST_CLASHES):
        try:
            return attempt()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.ABORTED:
                raise
    return attempt()


def _deleted() -> CliFailure:
    return CliFailure("the document was deleted before it was READY", ExitCode.FAILURE)
