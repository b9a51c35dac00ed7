"""The RPCs, as the descriptors of the package tell."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass

import minirag_sdk.v1
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from minirag.api.method_table import METHOD_TABLE


@dataclass(frozen=True, slots=True)
class Rpc:
    """One RPC and the messages that it takes and gives."""

    method: MethodDescriptor

    @property
    def name(self) -> str:
        return f"{self.method.containing_service.name}/{self.method.name}"

    @property
    def path(self) -> str:
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def request_class(self) -> type[Message]:
        return GetMessageClass(self.method.input_type)

    @property
    def response_class(self) -> type[Message]:
        return GetMessageClass(self.method.output_type)

    @property
    def is_endless(self) -> bool:
        rule = METHOD_TABLE.get(self.path)
        return rule is not None and rule.is_endless

    @property
    def spares(self) -> bool:
        """True for a call that leaves what it names usable, by its verb."""
        harmful = ("Delete", "Revoke", "Rotate", "SignOut", "Update", "ChangePassword", "Refresh")
        return not self.method.name.startswith(harmful)


def find_rpcs() -> list[Rpc]:
    """Return all of them, in a fixed order."""
    found = {}
    for module in pkgutil.iter_modules(minirag_sdk.v1.__path__, "minirag_sdk.v1."):
        if module.name.endswith("_service_pb2"):
            services = importlib.import_module(module.name).DESCRIPTOR.services_by_name
            for service in services.values():
                for method in service.methods:
                    found[method.full_name] = Rpc(method)
    return [found[name] for name in sorted(found)]
