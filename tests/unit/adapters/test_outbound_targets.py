"""Which URLs and addresses a tenant's webhook may lead to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirag.adapters.addresses import is_public, is_within, parse_networks
from minirag.adapters.outbound import parse_target
from minirag.services.ports.outbound import TargetRefused

INSIDE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",  # a cloud's metadata
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",  # a cloud's machine services
    "169.254.169.254",  # clouds' metadata
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:808:808::1",  # 6to4 even of a public address
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",  # a cloud's metadata
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]


@pytest.mark.parametrize("text", INSIDE)
def test_address_inside_a_network_is_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_address_of_the_internet_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@given(st.ip_addresses())
def test_what_python_holds_for_private_is_never_public(address: object) -> None:
    known = ip_address(str(address))
    if known.is_private or known.is_loopback or known.is_link_local or known.is_multicast:
        assert not is_public(known)


def test_allowed_networks_hold_the_addresses_that_stand_for_theirs() -> None:
    networks = parse_networks("10.1.0.0/16, fd00::/8")

    assert is_within(ip_address("10.1.2.3"), networks)
    assert is_within(ip_address("::ffff:10.1.2.3"), networks)
    assert is_within(ip_address("64:ff9b::10.1.2.3"), networks)
    assert is_within(ip_address("fd12::1"), networks)
    assert not is_within(ip_address("10.2.0.1"), networks)
    assert not is_within(ip_address("fe80::1"), networks)


@pytest.mark.parametrize("text", ["10.1.2.3/8", "ten", "10.0.0.0/33", "10.0.0.0/8;fd00::/8"])
def test_network_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="isn't a network"):
        parse_networks(f"192.168.0.0/16,{text}")


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "path"),
    [
        ("https://hooks.example.com", "https", "hooks.example.com", 443, "/"),
        ("https://hooks.example.com?a=b", "https", "hooks.example.com", 443, "/?a=b"),
        ("HTTPS://Hooks.Example.com:8443/A?b=%20", "https", "hooks.example.com", 8443, "/A?b=%20"),
        ("http://8.8.8.8/x", "http", "8.8.8.8", 80, "/x"),
        ("https://[2606:4700:0:0::1]:443/", "https", "2606:4700::1", 443, "/"),
        ("https://xn--bcher-kva.example/", "https", "xn--bcher-kva.example", 443, "/"),
        ("https://a_b.example.com/@x", "https", "a_b.example.com", 443, "/@x"),
    ],
)
def test_plain_url_is_read(url: str, scheme: str, host: str, port: int, path: str) -> None:
    target = parse_target(url)

    assert (target.scheme, target.host, target.port, target.path) == (scheme, host, port, path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "//hooks.example.com",
        "ftp://hooks.example.com",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "https:hooks.example.com",
        "https:///path",
        "https://",
        # somebody else's name before the host
        "https://user@hooks.example.com",
        "https://user:password@hooks.example.com",
        "https://hooks.example.com@127.0.0.1/",
        "https://hooks.example.com%40127.0.0.1/",
        "https://hooks.example.com\\@127.0.0.1/",
        "https://hooks.example.com#@127.0.0.1/",
        "https://hooks.example.com/#fragment",
        "https://hooks.example.com/\\evil",
        # addresses as other numbers
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://127.1/",
        "https://127.0.1/",
        "https://127.0.0.01/",
        "https://1.2.3.4.5/",
        "https://256.1.1.1/",
        "https://[::ffff:127.0.0.1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[::1",
        "https://::1/",
        "https://[127.0.0.1]/",
        "https://[v1.a]/",
        # dots and letters
        "https://hooks.example.com./",
        "https://127.0.0.1./",
        "https://.example.com/",
        "https://hooks..example.com/",
        "https://bücher.example/",
        # the long s and the Kelvin sign, which some take for other cases of s and k
        "http\u017f://hooks.example.com/",
        "https://hook\u017f.example.com/",
        "https://hoo\u212as.example.com/",
        "https://hooks.example.com/\u017f",
        "https://①②⑦.⓪.⓪.①/",
        "https://127。0。0。1/",
        "https://hooks.example.com\u200b/",
        "https://hooks.example.com /",
        " https://hooks.example.com/",
        "https://hooks.example.com/\n",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/\r\nHost: evil",
        "https://hooks\t.example.com/",
        "https://%31%32%37.0.0.1/",
        "https://" + "a" * 64 + ".example.com/",
        "https://" + "a." * 130 + "example.com/",
        "https://hooks.example.com/" + "a" * 2000,
        # ports of other services
        "https://hooks.example.com:22/",
        "https://hooks.example.com:25/",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:1023/",
        "https://hooks.example.com:65536/",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com:4e3/",
        "https://hooks.example.com:-1/",
        "https://hooks.example.com:/",
    ],
)
def test_url_that_could_be_read_in_two_ways_or_leads_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(TargetRefused):
        parse_target(url)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://hooks.example.com{text}"):
        try:
            target = parse_target(url)
        except TargetRefused:
            continue
        assert url.isascii()
        assert "@" not in target.host
