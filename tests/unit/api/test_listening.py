"""Where the server may listen."""

from __future__ import annotations

import pytest

from minirag.api.listening import format_address, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_addresses_are_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.org"])
def test_other_addresses_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_ipv6_addresses_are_bracketed() -> None:
    assert format_address("::1", 50051) == "[::1]:50051"
    assert format_address("127.0.0.1", 50051) == "127.0.0.1:50051"
