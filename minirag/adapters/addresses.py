"""Which network addresses are the public internet's, and which lead inside somebody's network.

The special-purpose registries of IANA (RFC 6890), written out: what Python's own `is_global` says
differs from version to version. Of IPv6 everything is refused that isn't global unicast, 2000::/3.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_INSIDE_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a provider's NAT; a cloud's metadata, 100.100.100.200, among them
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's machine services, though the address is a public one
        "169.254.0.0/16",  # link-local; the metadata services of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata among them
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved; broadcast among them
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
_INSIDE_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments; Teredo, benchmarks and ORCHID among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries an IPv4 address that nobody checked
        "2620:4f:8000::/48",
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
"""Where a network without IPv4 finds it: the last 32 bits are the address that is reached."""


def is_public(address: Address) -> bool:
    """True for an address of the public internet."""
    reached = embedded(address)
    if isinstance(reached, IPv4Address):
        return not any(reached in network for network in _INSIDE_4)
    if reached.scope_id is not None or reached not in _GLOBAL_6:
        return False
    return not any(reached in network for network in _INSIDE_6)


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    """True when one of the networks holds the address, or the IPv4 address that it stands for."""
    return any(one in network for network in networks for one in (address, embedded(address)))


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv4-mapped or NAT64 address stands for; others as they are."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read CIDRs with commas between them. Raises `ValueError`, which names the wrong one."""
    found = []
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            found.append(ip_network(part))
        except ValueError:
            raise ValueError(f"{part!r} isn't a network such as 10.1.0.0/16 or fd00::/8") from None
    return tuple(found)
