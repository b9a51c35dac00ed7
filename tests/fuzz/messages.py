"""Strategies for whole requests, made from the descriptors, and what is done to their bytes."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from minirag.api.method_table import METHOD_TABLE
from tests.fuzz import values
from tests.fuzz.contract import Rpc
from tests.fuzz.values import Ref, Remembered

Recipe = list[tuple[str, Any]]
"""Fields and their values; for a message's field another recipe, for a repeated one a list of values."""
Resolve = Callable[[Ref | Remembered], str]

MAX_DEPTH = 4
TWISTS = ("none",) * 20 + (
    "unknown field",
    "bad text",
    "cut",
    "random",
    "deep",
    "twice",
    "wrong type",
)
CREDENTIALS = ("platform", "all", "read", "ingest", "chat", "manage", "expired", "foreign",
               "revoked", "forged", "none", "two", "person")  # fmt: skip
"""`two` is the header twice, `expired` a key that has ended, `foreign` another tenant's."""

UNKNOWN_CHOICES = (-1, 99, 2**31 - 1, -(2**31))

_SET_BY_SERVER = re.compile(r"id|etag|paths|.*_time|.*_id|.*_count")
_F = FieldDescriptor
_EIGHTHS = st.integers(0, 7)
_JSON: tuple[Any, ...] = (
    {}, {"a": 1.0}, {"kind": "book", "year": 1999.0, "good": True}, {"a": float("nan")},
    {"a": {"b": 1.0}}, {"a": [1.0, "x", None]}, {"a": None}, {"": "x"}, {"k" * 101: 1.0},
    {"a\0": "b\0"}, {f"k{n}": float(n) for n in range(65)}, {"a": "x" * 2001}, {"a": 1e308},
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent to an RPC: one recipe, or several where the client streams."""

    rpc: Rpc
    credential: str
    recipes: list[Recipe]
    twist: str
    noise: int

    def encode(self, resolve: Resolve) -> list[bytes]:
        """Return the bytes of its messages, with references looked up."""
        bodies = []
        for recipe in self.recipes:
            message = self.rpc.request_class()
            fill(message, recipe, resolve)
            bodies.append(message.SerializeToString())
        bodies[-1] = twist(self.twist, bodies[-1], self.rpc.method.input_type, self.noise)
        return bodies


def requests(rpc: Rpc) -> st.SearchStrategy[Request]:
    """Requests to an RPC, mostly by those who may call it."""
    careful, careless = (
        st.builds(
            Request,
            st.just(rpc),
            st.sampled_from((_apt_credential(rpc),) * 30 + CREDENTIALS),
            _recipes(rpc, careful),
            st.sampled_from(TWISTS),
            st.integers(0, 2**32),
        )
        for careful in (True, False)
    )
    return st.one_of(careful, careless)


def vary(request: Request, chance: random.Random) -> Request:
    """Return the request as another caller's, or with something else done to its bytes."""
    credentials = (_apt_credential(request.rpc),) * 12 + CREDENTIALS
    return replace(
        request,
        credential=chance.choice(credentials),
        twist=chance.choice(TWISTS),
        noise=chance.getrandbits(32),
    )


def _recipes(rpc: Rpc, careful: bool) -> st.SearchStrategy[list[Recipe]]:
    recipe = messages(rpc.method.input_type, 0, careful)
    if not rpc.method.client_streaming:
        return recipe.map(lambda one: [one])
    if not careful:
        return st.lists(recipe, min_size=1, max_size=4)
    # What comes first in a stream is the first field, as an upload's header is, and then the second.
    first, second = (
        _values(field, 0, careful).map(lambda value, name=field.name: [(name, value)])
        for field in rpc.method.input_type.fields[:2]
    )
    return st.tuples(first, st.lists(second, min_size=1, max_size=3)).map(
        lambda both: [both[0], *both[1]]
    )


@functools.cache
def messages(descriptor: Descriptor, depth: int, careful: bool) -> st.SearchStrategy[Recipe]:
    """Recipes of a message: each field there or not, of a oneof one at most.

    `careful` ones hold what a person would write; in others each field may hold anything.
    """
    strategies = [
        (field, _values(field, depth, careful)) for field in descriptor.fields if depth < MAX_DEPTH
    ]
    # How often, of eight times, a field is left out.
    absent = (1 if careful else 2) if depth < 2 else 4

    @st.composite
    def draw_recipe(draw: st.DrawFn) -> Recipe:
        recipe: Recipe = []
        taken: set[str] = set()
        for field, strategy in strategies:
            choice = draw(_EIGHTHS)
            oneof = field.containing_oneof
            if oneof is not None and len(oneof.fields) > 1:
                if oneof.name in taken or choice > 3:
                    continue
                taken.add(oneof.name)
            elif choice > 7 - absent:  # the smallest choice, which Hypothesis prefers, has all
                continue
            recipe.append((field.name, draw(strategy)))
        return recipe

    return draw_recipe()


def fill(message: Message, recipe: Recipe, resolve: Resolve) -> None:
    """Set a message's fields. Values that no field can hold are other tests' matter."""
    for name, value in recipe:
        field = message.DESCRIPTOR.fields_by_name[name]
        target = getattr(message, name)
        if _is_map(field):
            for key, one in value:
                if field.message_type.fields_by_name["value"].message_type is None:
                    target[key] = _looked_up(one, resolve)
        elif field.message_type is not None and field.message_type.full_name.endswith("Struct"):
            if not field.is_repeated:
                target.SetInParent()
                target.update(value)
        elif field.is_repeated:
            for one in value:
                if field.message_type is not None:
                    fill(target.add(), one, resolve)
                else:
                    target.append(_looked_up(one, resolve))
        elif field.message_type is not None:
            target.SetInParent()
            fill(target, value, resolve)
        else:
            setattr(message, name, _looked_up(value, resolve))


def twist(kind: str, body: bytes, descriptor: Descriptor, noise: int) -> bytes:
    """Return the bytes with something done to them that no generated client would do."""
    chance = random.Random(noise)
    if kind == "unknown field":
        return body + _field(chance.randrange(1000, 2**28), chance.randbytes(20))
    if kind == "bad text":
        named = [field for field in descriptor.fields if field.type == _F.TYPE_STRING]
        return body + (_field(chance.choice(named).number, b"a\xff\xc3(") if named else b"\xff")
    if kind == "cut":
        return body[: chance.randrange(len(body) + 1)]
    if kind == "random":
        return chance.randbytes(chance.randrange(1, 300))
    if kind == "twice":
        return body + body
    if kind == "wrong type" and descriptor.fields:
        return body + _varint(chance.choice(descriptor.fields).number << 3) + b"\x01"
    if kind == "deep":
        # Each level is a field of the message within itself, or of what it doesn't know.
        inner = body[:50]
        for _ in range(chance.randrange(1, 400)):
            inner = _field(chance.randrange(1, 6), inner)
        return inner
    return body


def _values(field: FieldDescriptor, depth: int, careful: bool) -> st.SearchStrategy[Any]:
    if _is_map(field):
        keys = field.message_type.fields_by_name["key"]
        entries = st.tuples(
            _single(keys, depth, careful), _single(_value_of(field), depth + 1, careful)
        )
        return st.lists(entries, max_size=3)
    single = _single(field, depth, careful)
    if not field.is_repeated:
        return single
    few = st.lists(single, min_size=int(careful), max_size=3)
    return few if careful else st.one_of(few, few, few, single.map(lambda one: [one] * 150))


def _single(field: FieldDescriptor, depth: int, careful: bool) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        if careful and field.message_type.full_name == "google.protobuf.FieldMask":
            return _masks(field.containing_type)
        return _message(field.message_type, depth, careful)
    if field.type == _F.TYPE_STRING:
        return values.texts(field.name, field.containing_type.name, careful=careful)
    if field.type == _F.TYPE_BYTES:
        return values.binary(careful=careful)
    if field.type == _F.TYPE_BOOL:
        return st.booleans()
    if field.type == _F.TYPE_ENUM:
        known = tuple(value.number for value in field.enum_type.values)
        return st.sampled_from(known[1:] if careful else known * 3 + UNKNOWN_CHOICES)
    if field.type in {_F.TYPE_DOUBLE, _F.TYPE_FLOAT}:
        return values.doubles(careful=careful)
    bits = 32 if field.cpp_type in {_F.CPPTYPE_INT32, _F.CPPTYPE_UINT32} else 64
    signed = field.cpp_type in {_F.CPPTYPE_INT32, _F.CPPTYPE_INT64}
    return values.integers(bits, signed=signed, careful=careful)


def _masks(owner: Descriptor) -> st.SearchStrategy[Recipe]:
    """Masks that name a field of a message beside them."""
    beside = [field.message_type for field in owner.fields if field.message_type is not None]
    names = [field.name for message in beside for field in message.fields]
    names = [name for name in names if not _SET_BY_SERVER.fullmatch(name)]
    return st.sampled_from(names).map(lambda name: [("paths", [name])])


def _message(descriptor: Descriptor, depth: int, careful: bool) -> st.SearchStrategy[Any]:
    name = descriptor.full_name
    if name == "google.protobuf.Struct":
        return st.sampled_from(_JSON[:3] if careful else _JSON)
    if name in {"google.protobuf.Timestamp", "google.protobuf.Duration"}:
        is_time = name.endswith("Timestamp")
        usual = st.sampled_from(values.FUTURES if is_time else (0, 1, 3600))
        if careful:
            return usual.map(lambda seconds: [("seconds", seconds)])
        return st.tuples(st.sampled_from(values.SECONDS), st.sampled_from(values.NANOS)).map(
            lambda both: [("seconds", both[0]), ("nanos", both[1])]
        )
    return messages(descriptor, depth + 1, careful)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _value_of(field: FieldDescriptor) -> FieldDescriptor:
    return field.message_type.fields_by_name["value"]


def _looked_up(value: Any, resolve: Resolve) -> Any:
    return resolve(value) if isinstance(value, Ref | Remembered) else value


def _apt_credential(rpc: Rpc) -> str:
    rule = METHOD_TABLE.get(rpc.path)
    caller = "" if rule is None else rule.caller.name
    return {"PLATFORM": "platform", "USER": "person", "OPEN": "none"}.get(caller, "all")


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = b""
    while value > 127:
        encoded += bytes([value & 127 | 128])
        value >>= 7
    return encoded + bytes([value])
