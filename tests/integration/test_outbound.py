"""HTTP to addresses that tenants chose, on real connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from minirag.adapters import checked_http, outbound
from minirag.adapters.addresses import Address, parse_networks
from minirag.adapters.outbound import NO_ANSWER, NOT_CONNECTED, REFUSED, GuardedClient
from minirag.services.ports.outbound import TargetFailed, TargetRefused
from tests.integration.api.certificates import Authority, make_authority
from tests.support.hook_target import HookTarget, open_target

NAME = "hooks.example.test"
LOOPBACK = "127.0.0.1/32"
SECONDS = 20.0


class Names:
    """A resolver that gives each answer once, the last one for ever; no answer is no such name."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> list[Address]:
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not answer:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [ip_address(text) for text in answer]


def make_client(
    *answers: Sequence[str], allowed: str = LOOPBACK, **options: object
) -> GuardedClient:
    return GuardedClient(
        allowed_networks=parse_networks(allowed),
        resolve=Names(*answers) if answers else outbound.look_up,
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture
async def target() -> AsyncIterator[HookTarget]:
    async with open_target() as opened:
        yield opened


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


def server_context(files: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.file))


async def test_name_that_turns_to_loopback_after_its_check_gets_no_connection(
    target: HookTarget,
) -> None:
    """DNS rebinding: public when the webhook is made, the server's own machine when it is called."""
    client = make_client(["8.8.8.8"], ["127.0.0.1"], allowed="", allow_http=True)
    url = f"http://{NAME}:{target.port}/"
    await client.check(url)

    with pytest.raises(TargetRefused, match="public address"):
        await client.post(url, {}, b"{}", seconds=SECONDS)

    assert target.connections == 0


async def test_connection_goes_to_the_address_that_was_checked_and_asks_no_one_again(
    target: HookTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(["127.0.0.1"])
    client = GuardedClient(allowed_networks=parse_networks(LOOPBACK), resolve=names)

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("a name was looked up behind the guard's back")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", refuse, raising=False)
    answer = await client.post(f"http://{NAME}:{target.port}/a?b", {}, b"{}", seconds=SECONDS)

    assert answer.status == 204
    assert names.asked == [NAME]
    assert target.received[0].line == "POST /a?b HTTP/1.1"
    assert target.received[0].headers["host"] == f"{NAME}:{target.port}"


@pytest.mark.parametrize(
    "addresses", [["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["::ffff:127.0.0.1"], ["::1"]]
)
async def test_one_inner_address_spoils_a_name(target: HookTarget, addresses: list[str]) -> None:
    client = make_client(addresses, allowed="", allow_http=True)

    with pytest.raises(TargetRefused):
        await client.post(f"http://{NAME}:{target.port}/", {}, b"", seconds=SECONDS)

    assert target.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:7f00:1]", "localhost"])
async def test_loopback_is_refused_however_it_is_spelled(target: HookTarget, host: str) -> None:
    client = make_client(allowed="", allow_http=True)
    url = f"http://{host}:{target.port}/"

    with pytest.raises(TargetRefused):
        await client.check(url)
    with pytest.raises(TargetRefused):
        await client.post(url, {}, b"", seconds=SECONDS)

    assert target.connections == 0


async def test_unknown_name_and_inner_name_are_refused_in_the_same_words() -> None:
    """Who asks mustn't learn which names exist inside."""
    told = []
    for addresses in ([], ["10.0.0.7"], ["169.254.169.254"]):
        client = make_client(addresses)
        for call in (
            client.check(f"https://{NAME}/"),
            client.post(f"https://{NAME}/", {}, b"", seconds=SECONDS),
        ):
            with pytest.raises(TargetRefused) as refused:
                await call
            told.append(str(refused.value))

    assert told == [REFUSED] * 6


async def test_plain_http_goes_to_allowed_networks_only() -> None:
    await make_client(["127.0.0.1"]).check(f"http://{NAME}/")
    await make_client(["8.8.8.8"], allow_http=True).check(f"http://{NAME}/")

    with pytest.raises(TargetRefused, match="https"):
        await make_client(["8.8.8.8"]).check(f"http://{NAME}/")
    with pytest.raises(TargetRefused, match="https"):
        await make_client(["127.0.0.1", "8.8.8.8"]).check(f"http://{NAME}/")


async def test_certificate_must_be_the_names_and_sni_says_it(authority: Authority) -> None:
    files = authority.issue("named", NAME)
    client = make_client(["127.0.0.1"], ssl_context=trusting(authority))
    async with open_target(server_context(files)) as target:
        answer = await client.post(f"https://{NAME}:{target.port}/", {}, b"{}", seconds=SECONDS)

        assert answer.status == 204
        assert target.names == [NAME]
        with pytest.raises(TargetFailed, match="certificate"):
            await client.post(f"https://other.test:{target.port}/", {}, b"", seconds=SECONDS)
        assert len(target.received) == 1


async def test_certificate_of_an_unknown_authority_is_refused(
    authority: Authority, tmp_path: Path
) -> None:
    files = make_authority(tmp_path, "other").issue("stranger", NAME)
    client = make_client(["127.0.0.1"], ssl_context=trusting(authority))
    async with open_target(server_context(files)) as target:
        with pytest.raises(TargetFailed) as failed:
            await client.post(f"https://{NAME}:{target.port}/", {}, b"", seconds=SECONDS)

        assert str(failed.value) == NOT_CONNECTED
        assert target.received == []


async def test_redirects_are_not_followed(target: HookTarget) -> None:
    async with open_target() as other:
        target.answer = target.reply(307, f"Location: {other.url}")

        answer = await make_client().post(target.url, {}, b"{}", seconds=SECONDS)

        assert answer.status == 307
        assert other.connections == 0


async def test_proxies_of_the_environment_are_ignored(
    target: HookTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_target() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)

        await make_client().post(target.url, {}, b"{}", seconds=SECONDS)

        assert proxy.connections == 0
    assert len(target.received) == 1


async def test_closed_port_and_silent_target_are_told_coarsely(target: HookTarget) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        closed = bound.getsockname()[1]
        with pytest.raises(TargetFailed) as refused:
            url = f"http://127.0.0.1:{closed}/"
            await make_client().post(url, {}, b"", seconds=SECONDS)
    target.is_hanging = True
    with pytest.raises(TargetFailed) as silent:
        await make_client().post(target.url, {}, b"", seconds=0.3)

    assert str(refused.value) == NOT_CONNECTED
    assert str(silent.value) == NO_ANSWER
    assert not any(mark in NOT_CONNECTED + NO_ANSWER for mark in ("127", "refused", "Errno"))


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9\r\n", b"+OK redis\r\n", b"", b"HTTP/1.1 abc\r\n\r\n"]
)
async def test_answer_that_is_not_http_tells_nothing_of_what_it_said(
    target: HookTarget, answer: bytes
) -> None:
    target.answer = answer

    with pytest.raises(TargetFailed) as failed:
        await make_client().post(target.url, {}, b"", seconds=SECONDS)

    assert str(failed.value) == NO_ANSWER


async def test_body_without_an_end_is_left_alone(
    target: HookTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked_http, "BODY_SECONDS", 0.3)
    target.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
    target.drip = b"x"

    began = time.monotonic()
    answer = await make_client().post(target.url, {}, b"{}", seconds=SECONDS)

    assert answer.status == 200
    assert time.monotonic() - began < SECONDS / 2


async def test_large_body_is_not_read_to_its_end(target: HookTarget) -> None:
    target.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
    target.drip = b"x" * 65536

    began = time.monotonic()
    answer = await make_client().post(target.url, {}, b"{}", seconds=SECONDS)

    assert answer.status == 200
    assert time.monotonic() - began < SECONDS / 2


async def test_headers_without_an_end_run_into_the_time_limit(target: HookTarget) -> None:
    target.answer = b"HTTP/1.1 200 OK\r\n"
    target.drip = b"X-More: 1\r\n"

    with pytest.raises(TargetFailed) as failed:
        await make_client().post(target.url, {}, b"{}", seconds=0.5)

    assert str(failed.value) == NO_ANSWER


async def test_address_that_does_not_answer_is_passed_over_for_the_next(target: HookTarget) -> None:
    client = make_client(["127.0.0.2", "127.0.0.1"], allowed="127.0.0.0/8")

    answer = await client.post(f"http://{NAME}:{target.port}/", {}, b"{}", seconds=SECONDS)

    assert answer.status == 204


async def test_name_whose_server_is_silent_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbound, "CHECK_SECONDS", 0.1)

    async def resolve(host: str) -> list[Address]:
        await asyncio.Event().wait()
        raise AssertionError

    client = GuardedClient(resolve=resolve)

    with pytest.raises(TargetRefused):
        await client.check(f"https://{NAME}/")
    with pytest.raises(TargetFailed) as failed:
        await client.post(f"https://{NAME}/", {}, b"", seconds=0.1)

    assert str(failed.value) == NO_ANSWER
