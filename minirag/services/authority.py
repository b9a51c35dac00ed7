"""Whom a caller may make, change or remove: nobody above itself."""

from __future__ import annotations

from minirag.domain.access import PlatformContext, Principal
from minirag.domain.people import UserRole
from minirag.domain.tenants import ALL_SCOPES, Scope
from minirag.errors import PermissionDenied


def require_role(caller: Principal, role: UserRole) -> None:
    """Return if `caller` may give `role`, or touch a user who has it. Raises `PermissionDenied`.

    A user may up to the own role; a key up to what its scopes come to, and not at all when it is held to
    some collections, as no user is.
    """
    if isinstance(caller, PlatformContext):
        return
    if caller.role is not None:
        if not caller.role.covers(role):
            raise PermissionDenied(
                f"your role {caller.role} may not do this to a user with the role {role}: it takes"
                f" {role} or above",
                reason="ROLE_MISSING",
                metadata={"role": role.value},
            )
        return
    if caller.collection_ids is not None:
        raise PermissionDenied(
            "a key that is restricted to some collections can't manage users: use one without"
            " collection_ids",
            reason="KEY_RESTRICTED",
        )
    if missing := role.scopes - caller.scopes:
        names = ", ".join(sorted(missing))
        raise PermissionDenied(
            f"this key lacks scopes that a user with the role {role} has: {names}",
            metadata={"scope": names},
        )


def require_scopes(caller: Principal, scopes: frozenset[Scope]) -> None:
    """Return if `caller` may make, or read the secret of, a key with `scopes`. Raises `PermissionDenied`.

    A key with every scope stands for an owner, so that of the users only an owner may make one.
    """
    if isinstance(caller, PlatformContext):
        return
    if missing := scopes - caller.scopes:
        names = ", ".join(sorted(missing))
        raise PermissionDenied(
            f"this key can't give scopes that it lacks itself: {names}",
            metadata={"scope": names},
        )
    if scopes == ALL_SCOPES and caller.role not in (None, UserRole.OWNER):
        raise PermissionDenied(
            "a key with every scope may do what an owner may: leave one out, or ask an owner",
            reason="ROLE_MISSING",
            metadata={"role": UserRole.OWNER.value},
        )
