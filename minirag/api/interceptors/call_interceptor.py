"""The one interceptor, around every call of every kind.

It works in two places. Before the request is read: correlation id, credential, method table, draining;
who is refused here sends its request in vain. Around the handler: parsing, errors, the access log. One
object does it all, since each interceptor costs every call a pass through the event loop's machinery; what
is done is told apart by module.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol, TypeAlias

import grpc.aio
import structlog
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # no stubs
from structlog.contextvars import bind_contextvars

from minirag.api.calls import CURRENT_CALL, Call, ServicerContext
from minirag.api.error_status import describe_unknown_method
from minirag.api.interceptors.credentials import read_authorization
from minirag.api.interceptors.failures import (
    CODES,
    SHUTTING_DOWN,
    abort_with,
    departure_code,
    describe_failure,
    is_departure,
)
from minirag.api.interceptors.parsing import checked_parser, parse_each
from minirag.api.interceptors.rechecks import end_when_refused
from minirag.api.interceptors.refusals import RefusalAudit, RefusalNotes
from minirag.api.interceptors.running_calls import RunningCalls, Task
from minirag.api.method_table import Caller, Rule, find_rule
from minirag.domain.access import Principal, TenantContext
from minirag.domain.ids import IdKind, encode_id
from minirag.errors import MiniRagError
from minirag.services.auditing import CURRENT_ACTOR
from minirag.services.rates import CallRates

log = structlog.get_logger()

# gRPC's classes are generic in their stubs only, hence the quotes.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"
Behavior = Callable[[Any, ServicerContext], Awaitable[Any]]

MAX_METHOD = 100
LATE_SECONDS = 1.0
"""A request that comes so long after its headers has to show its credential again."""


class CredentialChecker(Protocol):
    async def authenticate(self, authorization: str | None) -> Principal: ...

    async def check_standing(self, principal: Principal, authorization: str | None) -> None: ...


@dataclass(frozen=True, slots=True)
class _Plan:
    """How calls of one method are served. `rule` is None for open methods."""

    rule: Rule | None
    handler: Handler
    audit: RefusalAudit | None = None
    """Of audited methods only."""


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # see `Handler`
    """Checks, wraps and logs calls; see the module."""

    def __init__(
        self,
        authenticator: CredentialChecker,
        rates: CallRates,
        refusals: RefusalNotes,
        *,
        max_calls: int | None = None,
        is_reflection_open: bool = True,
    ) -> None:
        self._authenticator = authenticator
        self._rates = rates
        self._refusals = refusals
        self._is_reflection_open = is_reflection_open
        self._plans: dict[str, _Plan] = {}
        self._is_draining = False
        self.running = RunningCalls(max_calls)

    def refuse_new_calls(self) -> None:
        """Answer every new call but health checks with UNAVAILABLE from now on."""
        self._is_draining = True

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        method = handler_call_details.method
        plan = self._plans.get(method)
        if plan is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                call = Call(method[:MAX_METHOD])
                bind_contextvars(method=call.method, correlation_id=call.correlation_id)
                return self._refuse(call, describe_unknown_method(method))
            plan = self._plans[method] = self._make_plan(method, handler)
        call = Call(method)
        CURRENT_CALL.set(call)
        if plan.rule is None:
            return plan.handler
        bind_contextvars(method=method, correlation_id=call.correlation_id)
        try:
            if self._is_draining:
                raise SHUTTING_DOWN
            self.running.check_room()
            if plan.rule.caller is not Caller.OPEN:
                authorization = read_authorization(handler_call_details.invocation_metadata)
                call.principal = await self._authenticator.authenticate(authorization)
                if isinstance(call.principal, TenantContext):
                    bind_contextvars(tenant_id=encode_id(IdKind.TENANT, call.principal.tenant_id))
                    # Calls that are going to be refused count as well: they, too, are made.
                    await self._rates.take_call(call.principal)
                plan.rule.admit(call.principal)
                call.authorization = authorization
        except Exception as error:  # whatever it is, it is answered and logged
            if isinstance(error, MiniRagError) and isinstance(error.caller, TenantContext):
                call.principal = error.caller
            return self._refuse(call, describe_failure(call, error), plan.audit)
        return plan.handler

    def _refuse(self, call: Call, status: Status, audit: RefusalAudit | None = None) -> Handler:
        """Return a handler that answers at once. Of the four kinds, a request stream's reads no request
        first; it is read only when the audit log is to say what a known caller wanted."""

        async def refuse(request: object, context: ServicerContext) -> None:
            code = CODES[status.code].name
            _log_call(call, code)
            if audit is not None:
                audit.note(call, context.peer(), code, request)
            await abort_with(context, status)

        if audit is not None and audit.reads_request and call.principal is not None:
            return grpc.unary_unary_rpc_method_handler(refuse)
        return grpc.stream_unary_rpc_method_handler(refuse)

    def _make_plan(self, method: str, handler: Handler) -> _Plan:
        rule = find_rule(method, is_reflection_open=self._is_reflection_open)
        behavior = _bind_parser(handler)
        # Without a rule it is a health watch or reflection, which last as long as the client likes.
        is_open = rule is None
        is_endless = rule is None or rule.is_endless
        # A health check is over at once, and is answered however busy the server is.
        is_bounded = not is_open or handler.response_streaming
        is_stream = handler.request_streaming or handler.response_streaming
        audit = None
        if rule is not None and rule.is_audited:
            parse = None if handler.request_streaming else handler.request_deserializer
            audit = RefusalAudit(self._refusals, method, parse)

        async def serve(request: Any, context: ServicerContext) -> Any:
            call = CURRENT_CALL.get()
            if audit is not None:
                CURRENT_ACTOR.set(call.actor(context.peer()))
            task = self.running.enter(is_endless=is_endless, is_open=is_open)
            recheck = None if rule is None else self._recheck(call, rule, task)
            code = "OK"
            try:
                if is_bounded:
                    self.running.check_room(is_open=is_open, entered=1)
                if rule is not None and perf_counter() - call.started > LATE_SECONDS:
                    await self._admit_again(call, rule)
                if is_stream and isinstance(call.principal, TenantContext):
                    return await self._stream(call.principal, behavior, request, context)
                return await behavior(request, context)
            except BaseException as error:  # what isn't to be answered is raised again
                reason = self.running.reason_of(task)
                if isinstance(error, asyncio.CancelledError) and reason is not None:
                    task.uncancel()
                    status = describe_failure(call, reason)
                elif is_departure(error):
                    code = departure_code(context, error)
                    raise
                else:
                    status = describe_failure(call, error)
                code = CODES[status.code].name
                if audit is not None:
                    audit.note(call, context.peer(), code, request)
                await abort_with(context, status)
            finally:
                if recheck is not None:
                    recheck.cancel()
                self.running.leave(task)
                if rule is not None:
                    _log_call(call, code)

        return _Plan(rule, _like(handler, serve), audit)

    async def _stream(
        self, tenant: TenantContext, behavior: Behavior, request: Any, context: ServicerContext
    ) -> Any:
        lease = await self._rates.open_stream(tenant)
        try:
            return await behavior(request, context)
        finally:  # before the client is told, so that it may open the next at once
            if lease is not None:
                await lease.release()

    async def _admit_again(self, call: Call, rule: Rule) -> None:
        """Check once more who calls: whoever was shut out since then mustn't have calls in store."""
        if call.principal is not None:
            call.principal = await self._authenticator.authenticate(call.authorization)
            rule.admit(call.principal)

    def _recheck(self, call: Call, rule: Rule, task: Task) -> asyncio.Task[None] | None:
        async def authenticate() -> None:
            await self._authenticator.authenticate(call.authorization)

        async def check_standing() -> None:
            await self._authenticator.check_standing(call.caller, call.authorization)

        if not (rule.is_endless or rule.is_rechecked):
            return None
        check = authenticate if rule.is_endless else check_standing
        return asyncio.create_task(end_when_refused(check, self.running, task))


def _log_call(call: Call, code: str) -> None:
    # Method, correlation and tenant ids are bound to the context already.
    log.info("call", code=code, duration_ms=round((perf_counter() - call.started) * 1000, 2))


def _bind_parser(handler: Handler) -> Behavior:
    """Return the handler's function as a coroutine function that takes the request's raw bytes."""
    inner: Any = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    assert handler.request_deserializer is not None  # noqa: S101  # generated code names one
    parse = checked_parser(handler.request_deserializer)
    generates = inspect.isasyncgenfunction(inner)
    if handler.request_streaming:
        if generates:

            async def stream_generated(parts: Any, context: ServicerContext) -> None:
                async with aclosing(inner(parse_each(parts, parse), context)) as responses:
                    async for response in responses:
                        await context.write(response)

            return stream_generated

        async def stream(parts: Any, context: ServicerContext) -> Any:
            return await inner(parse_each(parts, parse), context)

        return stream

    if generates:
        raise TypeError("a handler of a stream must be a coroutine that writes to its context")

    async def unary(raw: bytes, context: ServicerContext) -> Any:
        return await inner(parse(raw), context)

    return unary


def _like(handler: Handler, serve: Behavior) -> Handler:
    """Return a handler of the same kind, whose requests arrive as raw bytes."""
    make: Any
    if handler.request_streaming:
        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
    else:
        make = (
            grpc.unary_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.unary_unary_rpc_method_handler
        )
    made: Handler = make(serve, None, handler.response_serializer)
    return made
