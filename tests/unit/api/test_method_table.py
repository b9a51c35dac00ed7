"""The method table against the contract itself."""

from __future__ import annotations

import pytest

from minirag.api.chat_servicer import ChatServicer
from minirag.api.document_servicer import DocumentServicer
from minirag.api.method_table import METHOD_TABLE, Caller, Rule, is_open
from minirag.api.operation_servicer import OperationServicer
from minirag.api.source_servicer import SourceServicer
from minirag.api.tenant_servicer import TenantServicer
from minirag.api.usage_servicer import UsageServicer
from minirag.api.user_servicer import UserServicer
from minirag.api.webhook_servicer import WebhookServicer
from minirag.domain.access import PlatformContext, TenantContext
from minirag.domain.ids import new_id
from minirag.domain.people import UserRole
from minirag.domain.tenants import Scope
from minirag.errors import PermissionDenied
from tests.support.contract import find_methods, find_services, path_of

SERVICERS = {
    "minirag.v1.TenantService": TenantServicer,
    "minirag.v1.UserService": UserServicer,
    "minirag.v1.UsageService": UsageServicer,
    "minirag.v1.WebhookService": WebhookServicer,
    "minirag.v1.SourceService": SourceServicer,
    "minirag.v1.OperationService": OperationServicer,
    "minirag.v1.DocumentService": DocumentServicer,
    "minirag.v1.ChatService": ChatServicer,
}
METHODS = {path_of(method): method for method in find_methods()}


def test_every_rpc_has_a_rule_and_every_rule_an_rpc() -> None:
    assert set(METHOD_TABLE) == set(METHODS)


def test_every_rpc_is_implemented() -> None:
    for service in find_services():
        servicer = SERVICERS[service.full_name]
        for method in service.methods:
            owner = next(one for one in servicer.__mro__ if method.name in vars(one))
            assert owner.__module__.startswith("minirag.api."), method.full_name


def test_only_streams_are_endless() -> None:
    for name, rule in METHOD_TABLE.items():
        assert not rule.is_endless or METHODS[name].server_streaming


def test_rules_for_tenants_have_scope_and_role_and_the_others_none() -> None:
    for name, rule in METHOD_TABLE.items():
        is_for_tenants = rule.caller in (Caller.TENANT, Caller.EITHER)
        assert (rule.scope is not None) == is_for_tenants, name
        assert (rule.least_role is not None) == (is_for_tenants or rule.caller is Caller.USER), name


def test_only_health_and_reflection_are_open() -> None:
    assert is_open("/grpc.health.v1.Health/Check")
    assert is_open("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    assert not any(is_open(name) for name in METHOD_TABLE)
    assert not is_open("/grpc.health.v1.Health2/Check")


@pytest.mark.parametrize("scope", list(Scope))
def test_a_tenant_needs_the_very_scope(scope: Scope) -> None:
    rule = Rule(Caller.TENANT, scope)
    others = frozenset(Scope) - {scope}

    rule.admit(TenantContext(new_id(), scopes=frozenset({scope})))
    with pytest.raises(PermissionDenied) as caught:
        rule.admit(TenantContext(new_id(), scopes=others))

    assert caught.value.reason == "SCOPE_MISSING"
    assert caught.value.metadata == {"scope": scope.value}


@pytest.mark.parametrize("least", list(UserRole))
def test_a_user_needs_the_role_or_one_above(least: UserRole) -> None:
    rule = Rule(Caller.TENANT, Scope.MANAGE, least)

    for role in UserRole:
        user = TenantContext(new_id(), scopes=role.scopes, user_id=new_id(), role=role)
        if role.covers(least):
            rule.admit(user)
            continue
        with pytest.raises(PermissionDenied) as caught:
            rule.admit(user)
        assert caught.value.reason == "ROLE_MISSING"
        assert caught.value.metadata == {"role": least.value}


def test_calls_for_users_refuse_keys() -> None:
    rule = Rule(Caller.USER, least_role=UserRole.VIEWER)
    role = UserRole.VIEWER

    rule.admit(TenantContext(new_id(), scopes=role.scopes, user_id=new_id(), role=role))
    for principal in (TenantContext(new_id(), new_id()), PlatformContext()):
        with pytest.raises(PermissionDenied) as caught:
            rule.admit(principal)
        assert caught.value.reason == "USER_REQUIRED"


def test_each_kind_of_principal_is_kept_to_its_calls() -> None:
    tenant, platform = TenantContext(new_id()), PlatformContext()

    with pytest.raises(PermissionDenied) as tenant_refused:
        Rule(Caller.PLATFORM).admit(tenant)
    with pytest.raises(PermissionDenied) as platform_refused:
        Rule(Caller.TENANT, Scope.READ).admit(platform)
    for caller in (Caller.ANY, Caller.EITHER):
        Rule(caller, Scope.MANAGE).admit(platform)
        Rule(caller, Scope.MANAGE).admit(tenant)

    assert tenant_refused.value.reason == "PLATFORM_KEY_REQUIRED"
    assert platform_refused.value.reason == "TENANT_KEY_REQUIRED"
