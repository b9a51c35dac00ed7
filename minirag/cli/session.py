"""A connection to a server, with a credential: what the client commands call through."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar
from uuid import uuid4

from minirag.cli.encryption import Encryption
from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure, is_unreachable
from minirag.cli.output import Output
from minirag.cli.stored_sessions import StoredSession, StoredTokens

if TYPE_CHECKING:
    import grpc
    from minirag_sdk.v1.chat_service_pb2_grpc import ChatServiceStub
    from minirag_sdk.v1.document_service_pb2_grpc import DocumentServiceStub
    from minirag_sdk.v1.operation_service_pb2_grpc import OperationServiceStub
    from minirag_sdk.v1.source_service_pb2_grpc import SourceServiceStub
    from minirag_sdk.v1.tenant_service_pb2_grpc import TenantServiceStub
    from minirag_sdk.v1.usage_service_pb2_grpc import UsageServiceStub
    from minirag_sdk.v1.user_service_pb2_grpc import UserServiceStub
    from minirag_sdk.v1.webhook_service_pb2_grpc import WebhookServiceStub

T = TypeVar("T")

CALL_SECONDS = 30.0
"""Deadline of a unary call."""
RETRY_SECONDS = 15.0
"""How long a call that found the server unavailable is repeated."""
PAGE_SIZE = 200
MAX_RESPONSE_BYTES = 64 * 1024 * 1024


class Session:
    """Calls to one server as one principal. Use it as a context manager."""

    was_opened: ClassVar[bool] = False
    """Whether this process has had one, and gRPC's threads with it."""

    def __init__(
        self,
        output: Output,
        *,
        server: str,
        key: str | StoredSession | None,
        encryption: Encryption | None = None,
    ) -> None:
        """`key` is an API key, or who signed in; None is for calls that take no credential."""
        self.output = output
        self.server = server
        self._key = _checked_key(key) if isinstance(key, str) else key
        self._channel = _open_channel(server, encryption)
        Session.was_opened = True
        self._was_reached = False
        self._failing_since: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    @property
    def tenants(self) -> TenantServiceStub:
        from minirag_sdk.v1.tenant_service_pb2_grpc import TenantServiceStub

        return TenantServiceStub(self._channel)

    @property
    def operations(self) -> OperationServiceStub:
        from minirag_sdk.v1.operation_service_pb2_grpc import (
            OperationServiceStub,
        )

        return OperationServiceStub(self._channel)

    @property
    def usage(self) -> UsageServiceStub:
        from minirag_sdk.v1.usage_service_pb2_grpc import UsageServiceStub

        return UsageServiceStub(self._channel)

    @property
    def documents(self) -> DocumentServiceStub:
        from minirag_sdk.v1.document_service_pb2_grpc import DocumentServiceStub

        return DocumentServiceStub(self._channel)

    @property
    def chats(self) -> ChatServiceStub:
        from minirag_sdk.v1.chat_service_pb2_grpc import ChatServiceStub

        return ChatServiceStub(self._channel)

    @property
    def sources(self) -> SourceServiceStub:
        from minirag_sdk.v1.source_service_pb2_grpc import SourceServiceStub

        return SourceServiceStub(self._channel)

    @property
    def webhooks(self) -> WebhookServiceStub:
        from minirag_sdk.v1.webhook_service_pb2_grpc import WebhookServiceStub

        return WebhookServiceStub(self._channel)

    @property
    def users(self) -> UserServiceStub:
        from minirag_sdk.v1.user_service_pb2_grpc import UserServiceStub

        return UserServiceStub(self._channel)

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        if self._key is None:
            return ()
        token = self._key if isinstance(self._key, str) else self._key.access_token(self._renew)
        return (("authorization", f"Bearer {token}"),)

    def _renew(self, refresh_token: str) -> StoredTokens:
        from minirag_sdk.v1 import user_service_pb2 as pb

        request = pb.RefreshSessionRequest(refresh_token=refresh_token)
        answer = self.retry(lambda: self.users.RefreshSession(request, timeout=CALL_SECONDS))
        return StoredTokens.of(answer.session)

    def call(self, method: Any, request: Any) -> Any:
        """Call a unary method and return the response.

        A request that can carry a `request_id` gets one, so that it takes effect once however often it
        is sent. While the server is unavailable the call is repeated, for 15 s; at once if it was never
        reached at all.
        """
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = str(uuid4())
        metadata = self._metadata
        return self.retry(lambda: method(request, metadata=metadata, timeout=CALL_SECONDS))

    def retry(self, attempt: Callable[[], T]) -> T:
        """Do something that may be done twice, again while the server is unavailable, for 15 s."""
        from tenacity import (  # with gRPC
            Retrying,
            retry_if_exception,
            wait_random_exponential,
        )

        retrying = Retrying(
            retry=retry_if_exception(self._is_worth_repeating),
            stop=lambda _: self._has_failed_for_long(),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            reraise=True,
        )
        result = retrying(attempt)
        self._note_answer()
        return result

    @contextmanager
    def stream(self, method: Any, request: Any) -> Iterator[Iterator[Any]]:
        """Call a method that streams responses; leaving the block ends the call."""
        call = method(request, metadata=self._metadata)
        try:
            yield self._read(call)
        finally:
            call.cancel()

    def start_upload(self, parts: Iterator[Any]) -> Any:
        """Start UploadDocument and return its future, which can be cancelled."""
        return self.documents.UploadDocument.future(parts, metadata=self._metadata)

    def list_all(self, method: Any, request: Any, field: str) -> Iterator[Any]:
        """Yield what a List method has, page by page; `field` is the repeated one of its response."""
        request.page_size = request.page_size or PAGE_SIZE
        while True:
            page = self.call(method, request)
            yield from getattr(page, field)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _read(self, call: Iterator[Any]) -> Iterator[Any]:
        for response in call:
            self._note_answer()
            yield response

    def _note_answer(self) -> None:
        self._was_reached = True
        self._failing_since = None

    def _has_failed_for_long(self) -> bool:
        """True when nothing was answered for 15 s: counted from a failure, as a call may be long."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        return now - self._failing_since >= RETRY_SECONDS

    def _is_worth_repeating(self, error: BaseException) -> bool:
        import grpc  # imported by now

        if not isinstance(error, grpc.RpcError) or error.code() is not grpc.StatusCode.UNAVAILABLE:
            return False
        if is_unreachable(error):
            # Nobody wants to wait for a server that isn't there; one that restarts is another thing.
            return self._was_reached
        self._was_reached = True
        return True


def _open_channel(server: str, encryption: Encryption | None) -> grpc.Channel:
    # gRPC's own lines about a connection that fails would stand between ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import grpc  # 0.1 s that `--help` doesn't need

    options = [
        ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
        # A server that vanished without closing is noticed in half a minute.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
    if encryption is None:
        return grpc.insecure_channel(server, options=options)
    return grpc.secure_channel(server, encryption.credentials(), options=options)


def _checked_key(key: str) -> str:
    """A key goes into a header: what gRPC would refuse with a stack trace is told in a line."""
    text = key.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise CliFailure(
            "the key holds characters that no key has: copy it again, without quotes or line breaks",
            ExitCode.DENIED,
        )
    return text
