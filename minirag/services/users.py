"""A tenant's users, for those who manage them."""

from __future__ import annotations

from uuid import UUID

from minirag.domain.access import PlatformContext, Principal, TenantContext
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.people import User, UserRole, UserState
from minirag.errors import FailedPrecondition, InvalidRequest
from minirag.services.auditing import record_change
from minirag.services.authority import require_role
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.paging import Page
from minirag.services.ports.people import PasswordHasher
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory


class UserService:
    """Methods raise `PermissionDenied` for a user or role above the caller, `NotFound` for a user, or a
    tenant that the platform names, that isn't there."""

    def __init__(self, uow: UnitOfWorkFactory, passwords: PasswordHasher) -> None:
        self._uow = uow
        self._passwords = passwords

    async def create(
        self,
        caller: Principal,
        tenant_id: UUID,
        *,
        email: str,
        display_name: str,
        role: UserRole,
        password: str,
        request: RequestKey | None,
    ) -> User:
        """Make a user. Raises `AlreadyExists` when the tenant has the address."""
        require_role(caller, role)
        refuse_guessable(password, email, field="password")
        # Before the transaction: no connection waits for a slow hash.
        password_hash = await self._passwords.hash(password)
        async with self._uow.tenant(tenant_id) as uow:
            if isinstance(caller, PlatformContext) and await uow.tenants.get(tenant_id) is None:
                raise not_found(IdKind.TENANT, tenant_id)
            if outcome := await recall(uow.requests, request):
                return await _load(uow, UUID(outcome["user_id"]))
            now = utc_now()
            user = User(
                id=new_id(),
                tenant_id=tenant_id,
                email=email,
                display_name=display_name or email,
                role=role,
                state=UserState.ACTIVE,
                password_hash=password_hash,
                create_time=now,
                update_time=now,
                revision=1,
            )
            await uow.users.add(user)
            await remember(uow.requests, request, user_id=user.id)
            await _record(uow, user, role=role.value)
            return user

    async def get(self, tenant_id: UUID, user_id: UUID) -> User:
        async with self._uow.tenant(tenant_id) as uow:
            return await _load(uow, user_id)

    async def list_page(
        self, tenant_id: UUID, *, after: UUID | None, limit: int
    ) -> Page[User, UUID]:
        """Oldest first."""
        async with self._uow.tenant(tenant_id) as uow:
            found = await uow.users.list_page(after=after, limit=limit + 1)
            if not found and await uow.tenants.get(tenant_id) is None:
                raise not_found(IdKind.TENANT, tenant_id)
        return Page.cut(found, limit, lambda user: user.id)

    async def update(
        self,
        caller: Principal,
        tenant_id: UUID,
        user_id: UUID,
        *,
        display_name: str | None,
        role: UserRole | None,
        state: UserState | None,
        password: str | None,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> User:
        """Change what isn't None. A new password, and disabling, end the user's sessions.

        Raises `FailedPrecondition` when no owner would be left who may sign in.
        """
        if role is not None:
            require_role(caller, role)
        password_hash = None
        if password is not None:
            if isinstance(caller, TenantContext) and caller.user_id == user_id:
                raise InvalidRequest.field(
                    "password",
                    "your own is changed with ChangePassword, which asks for the old one",
                )
            password_hash = await self._passwords.hash(password)
        async with self._uow.tenant(tenant_id) as uow:
            if await recall(uow.requests, request):
                return await _load(uow, user_id)
            # Before the user is read: whoever takes an owner away must see who else is left.
            owners = set[UUID]()
            if role is not None or state is not None:
                owners = await uow.users.lock_active_owners()
            current = await _load(uow, user_id, lock=True)
            require_role(caller, current.role)
            if password is not None:
                refuse_guessable(password, current.email, field="password")
            if role not in (None, UserRole.OWNER) or state is UserState.DISABLED:
                _refuse_for_last_owner(owners, user_id)
            changed = await uow.users.update(
                user_id,
                display_name=display_name,
                role=role,
                state=state,
                password_hash=password_hash,
                if_revision=if_revision,
            )
            if changed is None:
                raise not_found(IdKind.USER, user_id)
            if password_hash is not None or state is UserState.DISABLED:
                await uow.sessions.revoke_all(user_id, utc_now())
            await remember(uow.requests, request, user_id=user_id)
            await _record(
                uow,
                changed,
                **({} if role is None else {"role": role.value}),
                **({} if state is None else {"state": state.value}),
                **({} if password is None else {"password": "changed"}),
            )
            return changed

    async def delete(
        self,
        caller: Principal,
        tenant_id: UUID,
        user_id: UUID,
        *,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> None:
        """Remove a user with all sessions. Raises `FailedPrecondition` for the last owner."""
        async with self._uow.tenant(tenant_id) as uow:
            if await recall(uow.requests, request):
                return
            owners = await uow.users.lock_active_owners()
            current = await _load(uow, user_id, lock=True)
            require_role(caller, current.role)
            _refuse_for_last_owner(owners, user_id)
            if not await uow.users.remove(user_id, if_revision=if_revision):
                raise not_found(IdKind.USER, user_id)
            await remember(uow.requests, request, user_id=user_id)
            await _record(uow, current)

    async def sign_out_everywhere(self, caller: Principal, tenant_id: UUID, user_id: UUID) -> int:
        """End a user's sessions; return how many there were."""
        async with self._uow.tenant(tenant_id) as uow:
            user = await _load(uow, user_id)
            require_role(caller, user.role)
            ended = await uow.sessions.revoke_all(user_id, utc_now())
            await _record(uow, user, sessions_ended=str(ended))
        return ended


def refuse_guessable(password: str, email: str, *, field: str) -> None:
    """Raises `InvalidRequest` for the first password that anybody would try."""
    if password.casefold() == email.casefold():
        raise InvalidRequest.field(field, "must not be the e-mail address")


async def _load(uow: TenantUnitOfWork, user_id: UUID, *, lock: bool = False) -> User:
    user = await uow.users.get(user_id, lock=lock)
    if user is None:
        raise not_found(IdKind.USER, user_id)
    return user


async def _record(uow: TenantUnitOfWork, user: User, **details: str) -> None:
    await record_change(
        uow.audit, user.tenant_id, "user", encode_id(IdKind.USER, user.id), **details
    )


def _refuse_for_last_owner(owners: set[UUID], user_id: UUID) -> None:
    if owners == {user_id}:
        raise FailedPrecondition(
            "this is the tenant's last owner who may sign in: make another one first"
        )
