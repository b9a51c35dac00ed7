"""Every RPC of the contract, and the fields of its request that bear an id: read from the descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from minirag.api.method_table import METHOD_TABLE, PACKAGE, Caller, Rule
from tests.support.contract import find_methods

OTHERS_PACKAGE = "google.protobuf."
JUDGED_BY = {"UserService/SignOutEverywhere": "UserService/UpdateUser"}
"""RPCs that anybody may call for themselves, and whose rule holds when they name somebody else."""


@dataclass(frozen=True)
class Rpc:
    """One method of one service; `name` is as in `DocumentService/GetDocument`."""

    name: str
    method: MethodDescriptor

    @property
    def path(self) -> str:
        return f"/{PACKAGE}.{self.name}"

    @property
    def rule(self) -> Rule:
        return METHOD_TABLE[f"/{PACKAGE}.{JUDGED_BY.get(self.name, self.name)}"]

    @property
    def names_its_tenant(self) -> bool:
        """True if the platform's key must say for which tenant it calls."""
        return self.rule.caller is Caller.EITHER and "tenant_id" in self.id_fields

    @property
    def request_class(self) -> type[Message]:
        return GetMessageClass(self.method.input_type)

    @property
    def response_class(self) -> type[Message]:
        return GetMessageClass(self.method.output_type)

    @property
    def id_fields(self) -> list[str]:
        """Paths of the request's id-bearing fields, as in `document.id`."""
        return sorted(_walk(self.method.input_type, "", ()))


def bears_an_id(field: FieldDescriptor) -> bool:
    """True for a text that stands for something stored: ids, etags, and tokens of any kind."""
    name = field.name
    return field.type == FieldDescriptor.TYPE_STRING and (
        name in ("id", "etag", "min_revision") or name.endswith(("_id", "_ids", "_token"))
    )


def _walk(message: Descriptor, prefix: str, above: tuple[Descriptor, ...]) -> Iterator[str]:
    for field in message.fields:
        path = prefix + field.name
        inner = field.message_type
        if inner is None:
            if bears_an_id(field):
                yield path
        elif inner not in above and not inner.full_name.startswith(OTHERS_PACKAGE):
            yield from _walk(inner, f"{path}.", (*above, message))


RPCS: dict[str, Rpc] = {
    name: Rpc(name, method)
    for method in find_methods()
    for name in (f"{method.containing_service.name}/{method.name}",)
}
"""By name, in the contract's order."""
RPC_OF_REQUEST: dict[str, Rpc] = {rpc.method.input_type.full_name: rpc for rpc in RPCS.values()}
"""The RPC that takes a message type: each has its own."""


def step_into(message: Any, name: str) -> Any:
    """Return what a field holds; the first one of repeated messages."""
    value = getattr(message, name)
    field = message.DESCRIPTOR.fields_by_name[name]
    return value[0] if field.is_repeated and field.message_type is not None else value


def put(request: Message, path: str, value: str) -> None:
    """Set the field at `path`; a repeated one then holds `value` alone, of repeated messages the first is
    meant."""
    *outer, name = path.split(".")
    target: Any = request
    for step in outer:
        target = step_into(target, step)
    if target.DESCRIPTOR.fields_by_name[name].is_repeated:
        target.ClearField(name)
        getattr(target, name).append(value)
    else:
        setattr(target, name, value)
