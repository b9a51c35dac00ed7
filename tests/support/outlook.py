"""Outlook messages for tests: an OLE container (MS-CFB, version 3) with a message's streams (MS-OXMSG)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

SECTOR, SMALL_SECTOR, SMALL_BELOW = 512, 64, 4096
FREE, END, FAT_SECTOR = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
SENT = 0x00390040
SENT_TIME = 134_042_148_000_000_000
"""2025-10-06 09:00 UTC, in tenths of microseconds since 1601."""

Node = bytes | dict[str, "Node"]


@dataclass
class _Entry:
    name: str
    kind: int
    data: bytes = b""
    children: list[int] = field(default_factory=list)
    start: int = END


def make_msg(
    *,
    subject: str = "",
    sender: str = "",
    address: str = "",
    to: str = "",
    body: str = "",
    html: bytes = b"",
    compressed_rtf: bytes = b"",
    attachments: Mapping[str, bytes] | None = None,
) -> bytes:
    """Return a message; empty fields are left out."""
    texts = {"0037": subject, "0C1A": sender, "5D01": address, "0E04": to, "1000": body}
    message: dict[str, Node] = {
        f"__substg1.0_{tag}001F": text.encode("utf-16-le") for tag, text in texts.items() if text
    }
    if html:
        message["__substg1.0_10130102"] = html
    if compressed_rtf:
        message["__substg1.0_10090102"] = compressed_rtf
    message["__properties_version1.0"] = bytes(32) + struct.pack("<IIq", SENT, 6, SENT_TIME)
    for number, (name, data) in enumerate((attachments or {}).items()):
        message[f"__attach_version1.0_#{number:08X}"] = {
            "__properties_version1.0": bytes(8),
            "__substg1.0_3707001F": name.encode("utf-16-le"),
            "__substg1.0_37010102": data,
        }
    return make_ole(message)


def make_ole(root: Mapping[str, Node]) -> bytes:
    """Return an OLE container with these streams, and storages as dictionaries."""
    entries = [_Entry("Root Entry", 5)]
    _add(entries, 0, root)
    small = bytearray()
    small_fat: list[int] = []
    sectors: list[bytes] = []
    fat: list[int] = []

    def store(data: bytes) -> int:
        count = -(-len(data) // SECTOR)
        first = len(sectors)
        for number in range(count):
            sectors.append(data[number * SECTOR : (number + 1) * SECTOR].ljust(SECTOR, b"\0"))
            fat.append(first + number + 1 if number + 1 < count else END)
        return first if count else END

    for entry in entries:
        if entry.kind == 2 and len(entry.data) >= SMALL_BELOW:
            entry.start = store(entry.data)
        elif entry.kind == 2 and entry.data:
            entry.start = len(small_fat)
            count = -(-len(entry.data) // SMALL_SECTOR)
            small += entry.data.ljust(count * SMALL_SECTOR, b"\0")
            small_fat += [*range(entry.start + 1, entry.start + count), END]
    entries[0].data = bytes(small)
    entries[0].start = store(entries[0].data)
    small_fat_start = store(struct.pack(f"<{len(small_fat)}I", *small_fat))
    small_fat_count = -(-len(small_fat) * 4 // SECTOR)
    directory = b"".join(_pack(entries, number) for number in range(len(entries)))
    directory_start = store(directory)
    fat_count = 1
    while fat_count * (SECTOR // 4) < len(sectors) + fat_count:
        fat_count += 1
    fat_start = len(sectors)
    fat += [FAT_SECTOR] * fat_count
    fat += [FREE] * (fat_count * (SECTOR // 4) - len(fat))
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        0x3E, 3, 0xFFFE, 9, 6,
        0, fat_count, directory_start, 0, SMALL_BELOW, small_fat_start, small_fat_count, END, 0,
    )  # fmt: skip
    places = [fat_start + number for number in range(fat_count)]
    header += struct.pack("<109I", *places, *[FREE] * (109 - fat_count))
    return header + b"".join(sectors) + struct.pack(f"<{len(fat)}I", *fat)


def _add(entries: list[_Entry], parent: int, nodes: Mapping[str, Node]) -> None:
    for name, node in sorted(nodes.items(), key=lambda item: (len(item[0]), item[0].upper())):
        number = len(entries)
        entries[parent].children.append(number)
        if isinstance(node, bytes):
            entries.append(_Entry(name, 2, node))
        else:
            entries.append(_Entry(name, 1))
            _add(entries, number, node)


def _pack(entries: list[_Entry], number: int) -> bytes:
    """A directory entry; siblings hang on each other's right, which is a tree as well."""
    entry = entries[number]
    right = FREE
    for each in entries:
        if number in each.children[:-1]:
            right = each.children[each.children.index(number) + 1]
    name = entry.name.encode("utf-16-le") + b"\0\0"
    child = entry.children[0] if entry.children else FREE
    start = 0 if entry.kind == 1 else entry.start
    return struct.pack(
        "<64sHBBIII16xI8x8xIQ",
        name, len(name), entry.kind, 1, FREE, right, child, 0, start, len(entry.data),
    )  # fmt: skip
