"""The RPCs, as the descriptors of the package tell."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from minirag.api.method_table import METHOD_TABLE
from tests.support.contract import find_methods, path_of


@dataclass(frozen=True, slots=True)
class Rpc:
    """One RPC and the messages that it takes and gives."""

    method: MethodDescriptor

    @property
    def name(self) -> str:
        return f"{self.method.containing_service.name}/{self.method.name}"

    @property
    def path(self) -> str:
        return path_of(self.method)

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
    return [Rpc(method) for method in sorted(find_methods(), key=lambda one: one.full_name)]
