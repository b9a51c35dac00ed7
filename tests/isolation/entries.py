"""What an entry of the isolation table says of an RPC: how to ask validly, and what each id stands for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.protobuf.message import Message
from grpc import StatusCode

from minirag.domain.tenants import Scope

if TYPE_CHECKING:
    from tests.isolation.estates import Estate


@dataclass(frozen=True)
class Names:
    """The field names a resource of a kind; `absent` is the answer to ids of none of the tenant's."""

    kind: str
    absent: StatusCode = StatusCode.NOT_FOUND
    after_deletion: StatusCode | None = None
    malformed: StatusCode | None = None
    """What the id of a deleted one, and what can't be an id, gives where that isn't `absent`."""


@dataclass(frozen=True)
class Whose:
    """The field names a tenant, and only the platform key may use it: a tenant's own credential is
    refused whatever the field holds."""


@dataclass(frozen=True)
class Etag:
    """The field is the etag of the resource that the field at `of` names."""

    of: str
    kind: str


@dataclass(frozen=True)
class PageToken:
    """The field continues a list."""


@dataclass(frozen=True)
class Token:
    """The field holds what an earlier answer told, which means nothing to another tenant's server calls."""

    read: Callable[[Estate], Awaitable[str]]


@dataclass(frozen=True)
class RequestId:
    """The field is a UUID of the client's choice, which must mean nothing across tenants."""

    malformed: StatusCode = StatusCode.INVALID_ARGUMENT


@dataclass(frozen=True)
class Free:
    """The field takes any text for the reason given; `foreign` is one that the other tenant uses."""

    reason: str
    foreign: Callable[[Estate], str]


@dataclass(frozen=True)
class Unread:
    """The server sets it and reads it in no request: whatever is sent, the answer is as without."""

    kind: str


@dataclass(frozen=True)
class Secret:
    """The field is a credential: who holds it is whom it stands for. `guess` is a wrong one for a thing of
    the other tenant's."""

    fresh: Callable[[Estate], Awaitable[str]]
    guess: Callable[[Estate], str]


Field = Names | Whose | Etag | PageToken | Token | RequestId | Free | Unread | Secret


@dataclass(frozen=True)
class Entry:
    """One RPC.

    `request` builds a request that the estate's own tenant may send. `fields` declares every id-bearing
    field. `uses` names the resources that a successful call changes for good: each call gets fresh ones.
    """

    request: Callable[[Estate], Message]
    fields: Mapping[str, Field] = field(default_factory=dict)
    uses: Mapping[str, str] = field(default_factory=dict)
    alone: Mapping[str, str] = field(default_factory=dict)
    """Fields that stand in place of all others, and the kind that a successful call with one uses up."""
    rest: Sequence[Message] = ()
    """The messages after the first, where the client streams."""
    before: Callable[[Estate], Awaitable[object]] | None = None
    """What must be there for a call to succeed, where no id names it."""
    also_needs: frozenset[Scope] = frozenset()
    """Scopes that a key needs beside its rule's: nobody gives or takes what is above the own rights."""
    ends_session: bool = False
    """A user's call of it ends the session or changes the password: each call gets a new user."""
    own: StatusCode = StatusCode.OK
