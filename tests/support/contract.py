"""The services and methods of the contract, as the generated modules' descriptors tell."""

from __future__ import annotations

import importlib
import pkgutil

import minirag_sdk.v1
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor


def find_services() -> list[ServiceDescriptor]:
    """Every service, by name: one that is added is found without a word said here."""
    found = {
        service.full_name: service
        for module in pkgutil.iter_modules(minirag_sdk.v1.__path__, "minirag_sdk.v1.")
        if module.name.endswith("_pb2")
        for service in importlib.import_module(module.name).DESCRIPTOR.services_by_name.values()
    }
    return [found[name] for name in sorted(found)]


def find_methods() -> list[MethodDescriptor]:
    """Every method, service by service."""
    return [method for service in find_services() for method in service.methods]


def path_of(method: MethodDescriptor) -> str:
    """As gRPC spells it, `/minirag.v1.ChatService/SendMessage`."""
    return f"/{method.containing_service.full_name}/{method.name}"
