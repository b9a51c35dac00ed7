"""The call under way: which method, who calls. Set by the interceptor, read by the servicers."""

from __future__ import annotations

import random
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeAlias
from urllib.parse import unquote

import grpc.aio

from minirag.domain.access import PlatformContext, Principal, TenantContext
from minirag.domain.audit import Actor, ActorKind

# Generic in the stub only, hence the quotes.
ServicerContext: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


MAX_PEER = 100


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
    """The credential, for calls that have to show it again."""

    @property
    def tenant(self) -> TenantContext:
        """The tenant that calls; the method table has made sure that it is one."""
        if not isinstance(self.principal, TenantContext):
            raise TypeError(f"{self.method} is only for tenants: its rule in the table is wrong")
        return self.principal

    def actor(self, peer: str) -> Actor:
        """Who the audit log says it was; `peer` as gRPC spells it, `ipv4:127.0.0.1:50123`."""
        kind, actor_id = ActorKind.UNKNOWN, None
        if isinstance(self.principal, PlatformContext):
            kind = ActorKind.PLATFORM
        elif self.principal is not None and self.principal.user_id is not None:
            kind, actor_id = ActorKind.USER, self.principal.user_id
        elif self.principal is not None:
            kind, actor_id = ActorKind.API_KEY, self.principal.key_id
        return Actor(kind, actor_id, self.method[1:], peer_address(peer), self.correlation_id)

    @property
    def caller(self) -> PlatformContext | TenantContext:
        """Whoever calls an RPC that needs a credential."""
        if self.principal is None:
            raise TypeError(f"{self.method} has no caller: its rule in the table is wrong")
        return self.principal


def peer_address(peer: str) -> str:
    """Return the network address of gRPC's `ipv4:127.0.0.1:50123` or `ipv6:%5B::1%5D:50123`, without the
    port; other kinds (`unix:…`) as they are."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return peer[:MAX_PEER]
    return unquote(rest).rpartition(":")[0].strip("[]")[:MAX_PEER]


CURRENT_CALL: ContextVar[Call] = ContextVar("minirag_call")


def current_call() -> Call:
    """Return the call that this task serves."""
    return CURRENT_CALL.get()


def current_tenant() -> TenantContext:
    """Return the tenant whose call this task serves."""
    return CURRENT_CALL.get().tenant
