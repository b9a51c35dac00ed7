"""The call under way: which method, who calls. Set by the interceptor, read by the servicers."""

from __future__ import annotations

import random
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeAlias

import grpc.aio

from minirag.domain.access import PlatformContext, Principal, TenantContext

# Generic in the stub only, hence the quotes.
ServicerContext: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


def new_correlation_id() -> str:
    """Return 16 hex digits that tie an answered fault to its log lines; not a secret."""
    return f"{random.getrandbits(64):016x}"


@dataclass(slots=True)
class Call:
    """One RPC, from its arrival to its status."""

    method: str
    """The full name, as in `/minirag.v1.TenantService/WhoAmI`."""
    correlation_id: str = field(default_factory=new_correlation_id)
    started: float = field(default_factory=perf_counter)
    principal: Principal | None = None
    """None for health checks and reflection, which need no credential."""
    authorization: str | None = field(default=None, repr=False)
    """The credential, of endless calls only, which have to show it again."""

    @property
    def tenant(self) -> TenantContext:
        """The tenant that calls; the method table has made sure that it is one."""
        if not isinstance(self.principal, TenantContext):
            raise TypeError(f"{self.method} is only for tenants: its rule in the table is wrong")
        return self.principal

    @property
    def caller(self) -> PlatformContext | TenantContext:
        """Whoever calls an RPC that needs a credential."""
        if self.principal is None:
            raise TypeError(f"{self.method} has no caller: its rule in the table is wrong")
        return self.principal


CURRENT_CALL: ContextVar[Call] = ContextVar("minirag_call")


def current_call() -> Call:
    """Return the call that this task serves."""
    return CURRENT_CALL.get()


def current_tenant() -> TenantContext:
    """Return the tenant whose call this task serves."""
    return CURRENT_CALL.get().tenant
