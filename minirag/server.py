"""The gRPC server: services, health, reflection, limits, and an end without broken answers."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from minirag_sdk.v1 import chat_service_pb2_grpc as chat_grpc
from minirag_sdk.v1 import document_service_pb2_grpc as document_grpc
from minirag_sdk.v1 import operation_service_pb2_grpc as operation_grpc
from minirag_sdk.v1 import source_service_pb2_grpc as source_grpc
from minirag_sdk.v1 import tenant_service_pb2_grpc as tenant_grpc
from minirag_sdk.v1 import usage_service_pb2_grpc as usage_grpc
from minirag_sdk.v1 import user_service_pb2_grpc as user_grpc
from minirag_sdk.v1 import webhook_service_pb2_grpc as webhook_grpc

from minirag.api.chat_servicer import ChatServicer
from minirag.api.document_servicer import DocumentServicer
from minirag.api.health import NEEDS, HealthMonitor, Ping
from minirag.api.interceptors.call_interceptor import CallInterceptor, CredentialChecker
from minirag.api.interceptors.refusals import RefusalNotes
from minirag.api.listening import bind
from minirag.api.operation_servicer import OperationServicer
from minirag.api.source_servicer import SourceServicer
from minirag.api.tenant_servicer import TenantServicer
from minirag.api.usage_servicer import UsageServicer
from minirag.api.user_servicer import UserServicer
from minirag.api.webhook_servicer import WebhookServicer
from minirag.config import MEBIBYTE, Settings, SettingsError
from minirag.errors import MiniRagError
from minirag.logs import configure_logging
from minirag.migrations.check import check_schema
from minirag.services.accepting import DocumentIntake
from minirag.services.answering import AnsweringService
from minirag.services.api_keys import ApiKeyService
from minirag.services.assistants import AssistantService
from minirag.services.audit_log import AuditService
from minirag.services.calling_off import OperationCanceller
from minirag.services.collections import CollectionService
from minirag.services.conversations import ConversationService
from minirag.services.documents import DocumentService
from minirag.services.exporting import ExportService
from minirag.services.freshness import RevisionWaiter
from minirag.services.limits import LimitService
from minirag.services.offboarding import OffboardingService
from minirag.services.operations import OperationService
from minirag.services.provider_credentials import ProviderCredentialService
from minirag.services.purging import PurgeService
from minirag.services.rates import CallRates
from minirag.services.reconciling import ReconcileRequests
from minirag.services.reembedding import ReembeddingService
from minirag.services.reruns import DocumentRuns
from minirag.services.retrieval import Retriever
from minirag.services.sessions import SessionService
from minirag.services.sources import SourceService
from minirag.services.tenants import TenantService
from minirag.services.uploads import UploadService
from minirag.services.usage import UsageService
from minirag.services.users import UserService
from minirag.services.watching import DocumentWatcher
from minirag.services.webhooks import WebhookService

log = structlog.get_logger()

MAX_METADATA_BYTES = 16 * 1024
HANDSHAKE_SECONDS = 10.0
"""How long a new connection may take for TLS and the first frames of HTTP/2."""
MAX_WAITING_CALLS = 5000
"""Calls that gRPC has received and not yet handed on, some 10 KB each."""
IDLE_CONNECTION_SECONDS = 1800.0
"""After this long without a call a connection is closed; clients open another when they need it."""
UPLOAD_SECONDS = 600.0
"""What calls without a model, uploads first, may take on a connection that has come of age."""
MAX_RESPONSE_BYTES = 64 * MEBIBYTE
LAST_CALLS_SECONDS = 0.2
"""How long new calls are refused before the port is closed."""
CUT_OFF_SECONDS = 5.0
"""How long calls that were cut off may take to say so and clean up."""


class ServerParts(Protocol):
    """What the server takes from the container."""

    @property
    def settings(self) -> Settings: ...
    @property
    def authenticator(self) -> CredentialChecker: ...
    @property
    def rates(self) -> CallRates: ...
    @property
    def refusals(self) -> RefusalNotes: ...
    @property
    def audit(self) -> AuditService: ...
    @property
    def tenants(self) -> TenantService: ...
    @property
    def offboarding(self) -> OffboardingService: ...
    @property
    def exports(self) -> ExportService: ...
    @property
    def operations(self) -> OperationService: ...
    @property
    def api_keys(self) -> ApiKeyService: ...
    @property
    def limits(self) -> LimitService: ...
    @property
    def users(self) -> UserService: ...
    @property
    def sessions(self) -> SessionService: ...
    @property
    def provider_credentials(self) -> ProviderCredentialService: ...
    @property
    def usage(self) -> UsageService: ...
    @property
    def collections(self) -> CollectionService: ...
    @property
    def documents(self) -> DocumentService: ...
    @property
    def intake(self) -> DocumentIntake: ...
    @property
    def uploads(self) -> UploadService: ...
    @property
    def reconciling(self) -> ReconcileRequests: ...
    @property
    def reembedding(self) -> ReembeddingService: ...
    @property
    def purges(self) -> PurgeService: ...
    @property
    def canceller(self) -> OperationCanceller: ...
    @property
    def runs(self) -> DocumentRuns: ...
    @property
    def watcher(self) -> DocumentWatcher: ...
    @property
    def revisions(self) -> RevisionWaiter: ...
    @property
    def retriever(self) -> Retriever: ...
    @property
    def assistants(self) -> AssistantService: ...
    @property
    def conversations(self) -> ConversationService: ...
    @property
    def answers(self) -> AnsweringService: ...
    @property
    def webhooks(self) -> WebhookService: ...
    @property
    def sources(self) -> SourceService: ...
    @property
    def pings(self) -> Mapping[str, Ping]: ...


class ServerContainer(ServerParts, Protocol):
    """The parts with their pools and clients, wired on the running loop."""

    def start_background(self) -> None: ...

    async def close(self) -> None: ...


OpenContainer = Callable[[Settings], Awaitable[ServerContainer]]


class RagServer:
    """Serves the contract from a container, which it neither opens nor closes."""

    def __init__(self, container: ServerParts) -> None:
        self._settings = container.settings
        self._interceptor = CallInterceptor(
            container.authenticator,
            container.rates,
            container.refusals,
            max_calls=container.settings.max_concurrent_calls,
            is_reflection_open=container.settings.reflection == "open",
        )
        self._health = HealthMonitor(container.pings)
        self._server = grpc.aio.server(
            interceptors=[self._interceptor], options=server_options(container.settings)
        )
        self._register(container)
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Bind, serve, and return the port.

        Raises `SettingsError`, one line, when it can't listen there: the port is in use, the address
        isn't this machine's, plaintext isn't allowed on it, or the TLS files can't be used.
        """
        address, port = bind(self._server, self._settings)
        await self._health.start()
        await self._server.start()
        is_encrypted = self._settings.tls_certificate_file is not None
        log.info("serving", address=address, tls=is_encrypted)
        return port

    async def stop(self) -> None:
        """Drain and stop; calling it again waits for the same end.

        Health says NOT_SERVING; after `drain_delay`, when load balancers have seen it, new calls are
        refused with UNAVAILABLE and endless streams (watches) are ended; running calls have
        `shutdown_grace`, what still runs then is ended with UNAVAILABLE. The container stays open.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._drain())
        await asyncio.shield(self._stopping)

    async def _drain(self) -> None:
        running = self._interceptor.running
        log.info("draining", running_calls=len(running))
        await self._health.drain()
        await asyncio.sleep(self._settings.drain_delay)
        self._interceptor.refuse_new_calls()
        running.cut_off(only_endless=True)
        # Calls that gRPC has received but not handed on when it stops are answered CANCELLED, which
        # no client retries (https://github.com/grpc/grpc/issues/41785): these still learn why.
        await asyncio.sleep(LAST_CALLS_SECONDS)
        grace = self._settings.shutdown_grace
        stopping = asyncio.ensure_future(self._server.stop(grace + CUT_OFF_SECONDS))
        # gRPC would end what is left without a word; this way each call still gets its status.
        _, late = await asyncio.wait([stopping], timeout=grace)
        if late and (count := running.cut_off(only_endless=False)):
            log.warning("calls_cut_off", calls=count, grace_seconds=grace)
        await stopping
        log.info("stopped")

    def _register(self, container: ServerParts) -> None:
        settings, server = container.settings, self._server
        tenant_grpc.add_TenantServiceServicer_to_server(
            TenantServicer(
                tenants=container.tenants,
                offboarding=container.offboarding,
                exports=container.exports,
                api_keys=container.api_keys,
                audit=container.audit,
                limits=container.limits,
                sessions=container.sessions,
                provider_credentials=container.provider_credentials,
            ),
            server,
        )
        user_grpc.add_UserServiceServicer_to_server(
            UserServicer(container.users, container.sessions), server
        )
        usage_grpc.add_UsageServiceServicer_to_server(UsageServicer(container.usage), server)
        operation_grpc.add_OperationServiceServicer_to_server(
            OperationServicer(container.operations, container.canceller, container.reconciling),
            server,
        )
        document_grpc.add_DocumentServiceServicer_to_server(
            DocumentServicer(
                container.collections,
                container.documents,
                container.intake,
                container.uploads,
                container.runs,
                container.purges,
                container.reembedding,
                container.watcher,
                container.retriever,
                container.revisions,
                max_document_bytes=settings.max_document_bytes,
            ),
            server,
        )
        chat_grpc.add_ChatServiceServicer_to_server(
            ChatServicer(
                container.assistants,
                container.conversations,
                container.answers,
                container.revisions,
            ),
            server,
        )
        webhook_grpc.add_WebhookServiceServicer_to_server(
            WebhookServicer(container.webhooks), server
        )
        source_grpc.add_SourceServiceServicer_to_server(SourceServicer(container.sources), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, server)
        if settings.reflection != "off":
            names = [*filter(None, NEEDS), health.SERVICE_NAME, reflection.SERVICE_NAME]
            reflection.enable_server_reflection(names, server)


class Signals:
    """SIGTERM and SIGINT as an event. The second one ends the process at once."""

    NUMBERS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self._stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in self.NUMBERS:
            loop.add_signal_handler(number, self._stop, number)

    async def wait(self) -> None:
        await self._stopping.wait()

    def _stop(self, received: signal.Signals) -> None:
        log.info("signal_received", signal=received.name)
        self._stopping.set()
        self.close()

    def close(self) -> None:
        """Give the signals back their default action."""
        loop = asyncio.get_running_loop()
        for number in self.NUMBERS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)


def run_server(settings: Settings, open_container: OpenContainer | None = None) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit code.

    0 after a drain; 2 for a setting that can't work and 1 for a dependency that isn't there or as it
    should be, each told in one line on standard error. `open_container` is `build_container` unless
    another is given.
    """
    configure_logging(settings)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings, open_container))
    except SettingsError as error:
        print(f"minirag serve: {error}", file=sys.stderr)
        return 2
    except MiniRagError as error:
        print(f"minirag serve: {error.message}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings, open_container: OpenContainer | None) -> None:
    signals = Signals()
    if open_container is None:
        # Here and not above: a server in a test, or in a node, comes without the adapters' libraries.
        from minirag.bootstrap import build_container  # noqa: PLC0415

        open_container = build_container
    if settings.database_url is not None:
        await check_schema(settings.database_url.get_secret_value())
    container = await open_container(settings)
    try:
        server = RagServer(container)
        await server.start()
        container.start_background()
        await signals.wait()
        await server.stop()
    finally:
        await container.close()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415  # not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


def server_options(settings: Settings) -> list[tuple[str, int]]:
    """Return gRPC's channel arguments, each set on purpose."""
    ageing = []
    if settings.max_connection_age:
        # gRPC lets ages vary by a tenth, so that clients don't come back all at once. An answer that
        # began at the last moment may take as long as any; only a watch ever meets the end of the grace.
        grace = max(settings.model_timeout, UPLOAD_SECONDS)
        ageing = [
            ("grpc.max_connection_age_ms", _milliseconds(settings.max_connection_age)),
            ("grpc.max_connection_age_grace_ms", _milliseconds(grace)),
        ]
    return [
        *ageing,
        # Who connects and says nothing, or a byte at a time, holds one of the connections this long.
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.server_handshake_timeout_ms", _milliseconds(HANDSHAKE_SECONDS)),
        ("grpc.max_connection_idle_ms", _milliseconds(IDLE_CONNECTION_SECONDS)),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        # Calls that were reset at once wait here as others do. Over these gRPC ends any call, whoever's,
        # as CANCELLED, which no client retries: better that they wait.
        ("grpc.server.max_pending_requests", MAX_WAITING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", 2 * MAX_WAITING_CALLS),
        ("grpc.max_concurrent_streams", settings.max_concurrent_streams),
        # By default gRPC resets calls of a client that has more to make than it may have open, for streams
        # count until Python has let go of them; clients see UNAVAILABLE. This way they wait.
        ("grpc.http.overload_protection", 0),
        # By default a second server binds the same port without a word and takes half the calls.
        ("grpc.so_reuseport", 0),
        # Clients that vanished without closing are found, and their answers cancelled, in 80 s.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.max_pings_without_data", 0),
        # A client that pings while a slow model is silent does no harm: the default would close its
        # connection as `too_many_pings` at the third ping within five minutes. (The name of the
        # interval is gRPC's own for what its documentation calls MIN_RECV_PING_INTERVAL; a name that
        # it doesn't know is passed over in silence.)
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 500),
        ("grpc.http2.max_ping_strikes", 2),
    ]


def _milliseconds(seconds: float) -> int:
    """As gRPC counts, in 31 bits."""
    return min(round(seconds * 1000), 2**31 - 1)
