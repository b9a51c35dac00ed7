"""The keyring: what was sealed opens again, as the same record of the same tenant, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
from uuid import uuid4

import pytest

from minirag.adapters.keyring import EnvelopeKeyring, generate_entry, parse_keys
from minirag.errors import FailedPrecondition, MiniRagError
from minirag.services.ports.secrets import Sealed, bind

SECRET = b"sk-provider-4f7c1d"
# Fixed, as they stand in the names of tests, which have to be the same in every process.
OLD, NEW = hashlib.sha256(b"old").digest(), hashlib.sha256(b"new").digest()
PLACE = bind(uuid4().bytes, "provider_credential", uuid4().bytes)


def entry(name: str, key: bytes) -> str:
    return f"{name}:{base64.b64encode(key).decode()}"


def test_what_was_sealed_opens_and_reads_like_noise() -> None:
    ring = EnvelopeKeyring({"new": NEW})

    sealed = ring.seal(SECRET, bound_to=PLACE)

    assert ring.open(sealed, bound_to=PLACE) == SECRET
    assert sealed.by == "new"
    assert SECRET not in sealed.data
    assert ring.seal(SECRET, bound_to=PLACE).data != sealed.data


@pytest.mark.parametrize("secret", [b"", b"\x00" * 5000])
def test_any_bytes_can_be_sealed(secret: bytes) -> None:
    ring = EnvelopeKeyring({"new": NEW})

    assert ring.open(ring.seal(secret, bound_to=PLACE), bound_to=PLACE) == secret


def test_a_change_of_any_byte_is_noticed() -> None:
    ring = EnvelopeKeyring({"new": NEW})
    sealed = ring.seal(SECRET, bound_to=PLACE)

    for index in range(len(sealed.data)):
        changed = bytearray(sealed.data)
        changed[index] ^= 1
        with pytest.raises(MiniRagError, match="can't be opened"):
            ring.open(Sealed(bytes(changed), "new"), bound_to=PLACE)


def test_a_cut_of_any_length_is_noticed() -> None:
    ring = EnvelopeKeyring({"new": NEW})
    sealed = ring.seal(SECRET, bound_to=PLACE)

    for length in range(len(sealed.data)):
        with pytest.raises(MiniRagError, match="can't be opened"):
            ring.open(Sealed(sealed.data[:length], "new"), bound_to=PLACE)


def test_it_opens_for_no_other_tenant_record_or_kind_of_record() -> None:
    ring = EnvelopeKeyring({"new": NEW})
    tenant, record = uuid4().bytes, uuid4().bytes
    sealed = ring.seal(SECRET, bound_to=bind(tenant, "webhook", record))

    for elsewhere in (
        bind(uuid4().bytes, "webhook", record),
        bind(tenant, "webhook", uuid4().bytes),
        bind(tenant, "provider_credential", record),
        bind(record, "webhook", tenant),
    ):
        with pytest.raises(MiniRagError, match="can't be opened"):
            ring.open(sealed, bound_to=elsewhere)
    assert ring.open(sealed, bound_to=bind(tenant, "webhook", record)) == SECRET


def test_the_first_key_seals_and_every_one_opens() -> None:
    before = EnvelopeKeyring({"old": OLD}).seal(SECRET, bound_to=PLACE)

    ring = EnvelopeKeyring(parse_keys(f"{entry('new', NEW)},{entry('old', OLD)}"))

    assert ring.newest == "new"
    assert ring.seal(SECRET, bound_to=PLACE).by == "new"
    assert ring.open(before, bound_to=PLACE) == SECRET


def test_a_key_that_is_gone_is_named_with_what_to_do() -> None:
    sealed = EnvelopeKeyring({"old": OLD}).seal(SECRET, bound_to=PLACE)

    with pytest.raises(FailedPrecondition, match=r"'old'.*MINIRAG_SECRET_KEYS") as caught:
        EnvelopeKeyring({"new": NEW}).open(sealed, bound_to=PLACE)

    assert caught.value.reason == "NOT_CONFIGURED"


def test_another_key_under_the_old_name_opens_nothing() -> None:
    sealed = EnvelopeKeyring({"old": OLD}).seal(SECRET, bound_to=PLACE)

    with pytest.raises(MiniRagError, match="can't be opened"):
        EnvelopeKeyring({"old": NEW}).open(sealed, bound_to=PLACE)


def test_a_ring_without_keys_says_what_to_set() -> None:
    ring = EnvelopeKeyring(parse_keys(""))
    sealed = EnvelopeKeyring({"old": OLD}).seal(SECRET, bound_to=PLACE)

    for use in (
        lambda: ring.newest,
        lambda: ring.seal(SECRET, bound_to=PLACE),
        lambda: ring.open(sealed, bound_to=PLACE),
        lambda: ring.derive("tokens"),
    ):
        with pytest.raises(FailedPrecondition, match="MINIRAG_SECRET_KEYS") as caught:
            use()
        assert caught.value.reason == "NOT_CONFIGURED"


def test_derived_keys_differ_by_purpose_and_key_and_stay_the_same() -> None:
    ring = EnvelopeKeyring({"new": NEW, "old": OLD})

    tokens = ring.derive("tokens")

    assert list(tokens) == ["new", "old"]
    assert all(len(key) == 32 for key in tokens.values())
    assert EnvelopeKeyring({"old": OLD}).derive("tokens") == {"old": tokens["old"]}
    known = [NEW, OLD, *tokens.values(), *ring.derive("other").values()]
    assert len(set(known)) == len(known)


def test_no_purpose_derives_the_key_that_seals() -> None:
    """Who verifies tokens must not be able to open secrets."""
    ring = EnvelopeKeyring({"new": NEW})
    sealed = ring.seal(SECRET, bound_to=PLACE)

    for purpose in ("envelope", "", "minirag envelope"):
        impostor = EnvelopeKeyring({"new": NEW})
        impostor._key = lambda info, name, p=purpose: ring.derive(p)[name]  # type: ignore[method-assign]
        with pytest.raises(MiniRagError, match="can't be opened"):
            impostor.open(sealed, bound_to=PLACE)


def test_keys_may_stand_on_lines_of_their_own() -> None:
    text = f" {entry('new', NEW)}\n{entry('old', OLD)} ,\n"

    assert list(parse_keys(text).items()) == [("new", NEW), ("old", OLD)]


def test_a_generated_entry_is_one_that_can_be_read() -> None:
    first, second = generate_entry("first"), generate_entry("second")

    keys = parse_keys(f"{second},{first}")

    assert list(keys) == ["second", "first"]
    assert len(set(keys.values())) == 2
    with pytest.raises(ValueError, match="a name is"):
        generate_entry("not a name")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (base64.b64encode(NEW).decode(), "entry 1 must read name:base64"),
        (f"{entry('old', OLD)},:{base64.b64encode(NEW).decode()}", "entry 2 must read"),
        (f"{'n' * 33}:{base64.b64encode(NEW).decode()}", "entry 1 must read"),
        (f"new:{base64.b64encode(NEW[:31]).decode()}", "the key new must be the base64 of 32"),
        (f"new:{NEW.hex()}", "the key new must be"),
        ("new:", "the key new must be"),
        (f"{entry('new', NEW)},{entry('new', OLD)}", "the name new stands there twice"),
        (f"{entry('new', NEW)},{entry('old', NEW)}", "the key old stands there under another name"),
    ],
)
def test_a_malformed_ring_is_told_without_its_keys(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        parse_keys(text)

    for key in (NEW, OLD, NEW[:31]):
        assert base64.b64encode(key).decode()[:12] not in str(caught.value)
        assert key.hex()[:12] not in str(caught.value)
